"""What a verb loads before it does anything: each is a process of its own, and loading is most of its time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from support.sources import REPOSITORY

SLOW = {"argparse", "collections", "contextlib", "dataclasses", "enum", "functools", "inspect", "json", "logging",
        "pathlib", "re", "selectors", "signal", "site", "socket", "subprocess", "typing"}  # fmt: skip
"""Of the standard library: each takes as long as ten modules of ours, or brings one that does."""
ELSEWHERE = {"engine.kernel.seccomp_program", "engine.kernel.seccomp_rules", "engine.kernel.syscall_table",
             "engine.oci.execution", "engine.oci.features", "engine.oci.reports", "engine.oci.units",
             "engine.oci.updating", "engine.runtime.exec_process"}  # fmt: skip
"""What other verbs need, or the first use of a seccomp profile."""


def test_a_run_loads_little() -> None:
    program = "import sys; sys.path.append(sys.argv[1]); from engine.oci import launching, verbs; print(*sys.modules)"
    command = [sys.executable, "-IS", "-c", program, str(REPOSITORY)]
    loaded = set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert "engine.runtime.init" in loaded
    assert not loaded & (SLOW | ELSEWHERE)


def test_what_was_loaded_once_comes_out_of_one_file(tmp_path: Path) -> None:
    for part in ("__init__.py", "kernel", "runtime", "oci"):
        source, copy = REPOSITORY / "engine" / part, tmp_path / "engine" / part
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.marshal"))
        else:
            copy.parent.mkdir()
            shutil.copy2(source, copy)

    def python(program: str, place: Path = tmp_path) -> str:
        begin = "import sys; sys.path.append(sys.argv[1]); from engine.oci import loading; "
        command = [sys.executable, "-IS", "-c", begin + program, str(place)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    others = "import typing, xml.dom"  # with modules that are none (typing.io)
    assert python(f"{others}; print(loading.prepare()); import engine.oci.launching; loading.keep()") == "False"
    shown = python("print(loading.prepare()); from engine.oci import launching as l; print(l.__file__, l.__loader__)")
    assert shown.startswith(f"True\n{tmp_path}/engine/oci/launching.py <engine.oci.loading._Modules")
    shutil.copytree(tmp_path / "engine", tmp_path / "moved/engine")
    assert python("print(loading.prepare())", tmp_path / "moved") == "False"
    (tmp_path / "engine/oci/launching.py").write_text("made = 'anew'\n")
    assert python("print(loading.prepare()); from engine.oci import launching as l; print(l.made)") == "False\nanew"
    (file,) = (tmp_path / "engine/oci/__pycache__").glob("*.marshal")
    file.write_bytes(file.read_bytes()[:1000])
    assert python("print(loading.prepare())") == "False"
