"""News from the shims: an end is delivered until somebody could take it in."""

from __future__ import annotations

from typing import Any

import pytest

from engine.domain.errors import EngineError
from engine.runtime.mailboxes import Mailboxes
from support.waiting import eventually


def test_an_end_is_delivered_again(capsys: pytest.CaptureFixture[str]) -> None:
    taken: list[str] = []
    refusals = {"oom": 1, "exited": 3}

    def deliver(container_id: str, message: dict[str, Any]) -> None:
        if refusals.get(message["type"], 0):
            refusals[message["type"]] -= 1
            raise EngineError("the disk is full")
        taken.append(message["type"])

    mailboxes = Mailboxes(deliver, pause_s=0.001)
    for kind in ("oom", "exited", "exec_exited"):
        mailboxes.put("container", {"type": kind})
    eventually(lambda: taken == ["exited", "exec_exited"], what="both ends are taken in")
    mailboxes.close()
    assert capsys.readouterr().err.count("the disk is full") == 2, "once each"


def test_an_engine_that_ends_waits_for_no_disk() -> None:
    def deliver(container_id: str, message: dict[str, Any]) -> None:
        raise EngineError("the disk is full")

    mailboxes = Mailboxes(deliver, pause_s=3600)
    mailboxes.put("container", {"type": "exited"})
    mailboxes.close()
