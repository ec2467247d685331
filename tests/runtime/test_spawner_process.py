"""The daemon's hold on a spawner, which is another program here."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import Any

import pytest

from engine.runtime import interpreter
from engine.runtime.spawner_process import SpawnerProcess


def test_a_spawner_that_cannot_be_held_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a descriptor for it, nobody is told to watch one that is another file's by now."""

    def no_descriptor_is_left(pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def another_program(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["true"])

    monkeypatch.setattr(interpreter, "run_module", another_program)
    process = SpawnerProcess("no.such.module")
    watched = process.watch(0)
    assert watched is not None
    number, fd = watched
    os.close(fd)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pidfd_open", no_descriptor_is_left)
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            process.fork({"op": "shim"})
        assert process.watch(number - 1) is None and process.pid is None
    process.close()
