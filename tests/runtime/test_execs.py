"""What the shim does with execs, without a container."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from engine.runtime.execs import Execs, _Exec


def test_a_probe_that_has_been_reaped_is_not_killed_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be another process's by then: its end is seen before the last word of its handshake is read."""
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *which: killed.append(which))
    nothing: Any = SimpleNamespace()
    execs = Execs(nothing, "", nothing, SimpleNamespace(), nothing)  # type: ignore[arg-type]
    probe = execs._by_pid[4711] = _Exec("probe", 4711, nothing, nothing, nothing)
    execs.ended(4711, 0)
    execs._time_is_up(probe)
    assert not killed and not probe.timed_out
