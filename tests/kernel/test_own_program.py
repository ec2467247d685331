"""A process that is said to be another file."""

from __future__ import annotations

import fcntl
import os
import sys

import pytest

from engine.kernel import own_program
from engine.runtime.interpreter import sealed
from support.forked import in_child

pytestmark = pytest.mark.kernel


def _is_shared() -> bool:
    with open("/proc/self/maps") as maps:
        return "/libpython" in maps.read()


def test_the_interpreter_is_out_of_reach() -> None:
    """CVE-2019-5736: what /proc/self/exe leads to can't be written, by the process or what it forks."""
    if not _is_shared():
        pytest.skip("this Python is not built with a shared libpython")

    def look() -> list[str]:
        fd = sealed()
        own_program.become(fd)
        os.close(fd)
        if (pid := os.fork()) == 0:
            os._exit(0 if os.readlink("/proc/self/exe").startswith("/memfd:docket-python") else 1)
        said = [os.readlink("/proc/self/exe"), str(os.waitpid(pid, 0)[1])]
        with open("/proc/self/maps") as maps:
            said.append(str(os.path.realpath(sys.executable) in maps.read()))
        try:
            os.execv("/proc/self/exe", ["x"])
        except OSError as error:
            said.append(error.strerror)
        seals = fcntl.fcntl(os.open("/proc/self/exe", os.O_RDONLY), fcntl.F_GET_SEALS)
        return [*said, str(bool(seals & fcntl.F_SEAL_WRITE and seals & fcntl.F_SEAL_GROW))]

    said = in_child(look)
    assert said == ["/memfd:docket-python (deleted)", "0", "False", "Exec format error", "True"]


def test_a_program_with_data_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_program, "_MOST_BYTES", 1)
    fd = sealed()
    with pytest.raises(OSError, match="not built with a shared library"):
        own_program.become(fd)
    os.close(fd)
