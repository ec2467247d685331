"""What a verb loads before it does anything: each is a process of its own, and loading is most of its time."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.sources import REPOSITORY

SLOW = {"argparse", "collections", "contextlib", "ctypes", "dataclasses", "enum", "functools", "inspect", "json",
        "logging", "pathlib", "re", "selectors", "signal", "site", "socket", "subprocess", "typing"}  # fmt: skip
"""Of the standard library: each takes as long as ten modules of ours, or brings one that does."""
ELSEWHERE = {"engine.kernel.seccomp_program", "engine.kernel.seccomp_rules", "engine.kernel.syscall_table",
             "engine.oci.execution", "engine.oci.features", "engine.oci.reports", "engine.oci.units",
             "engine.oci.updating", "engine.runtime.exec_process"}  # fmt: skip
"""What other verbs need, or the first use of a seccomp profile."""


@pytest.mark.parametrize("verb", ["create", "run", "start", "state", "kill", "delete"])
def test_a_verb_loads_little(verb: str) -> None:
    program = (
        "import sys; sys.path.append(sys.argv[1]); from engine.oci import dispatch, main\n"
        "dispatch.VERBS[sys.argv[2]].load(); print(*sys.modules)"
    )
    command = [sys.executable, "-IS", "-c", program, str(REPOSITORY), verb]
    loaded = set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert ("engine.runtime.init" in loaded) == (verb in ("create", "run"))
    assert not loaded & (SLOW | ELSEWHERE)
