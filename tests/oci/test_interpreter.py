"""The interpreter as a file that nobody can write to."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from engine.runtime import interpreter
from engine.runtime.interpreter import unwritable

pytestmark = pytest.mark.kernel


def test_it_is_the_interpreter_and_read_only() -> None:
    fd = unwritable()
    try:
        with open(f"/proc/self/fd/{fd}", "rb") as file, open(os.path.realpath(sys.executable), "rb") as original:
            assert file.read() == original.read()
        with pytest.raises(OSError) as caught:
            os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        assert caught.value.errno == errno.EROFS
        with pytest.raises(OSError):
            os.chmod(f"/proc/self/fd/{fd}", 0o777)
    finally:
        os.close(fd)


def test_where_no_overlay_can_be_made_it_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "interpreter_path", lambda: "/bin/../bin/sh")
    monkeypatch.setattr(interpreter.os, "__file__", "/with:colon/os.py")
    fd = unwritable()
    assert os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:docket-python")
    os.close(fd)
