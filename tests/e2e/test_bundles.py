"""``docket bundle export``: what runs here runs as it is elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.engine import Engine
from support.sources import REPOSITORY

pytestmark = pytest.mark.kernel

SCRIPT = "id; echo $A $HOME; pwd; grep -E 'Cap|Seccomp:' /proc/self/status; cat /etc/os-release /made; hostname; exit 5"


def test_a_bundle_runs_as_the_container_does(engine: Engine, tmp_path: Path) -> None:
    flags = ("-u", "user", "-e", "A=b", "-w", "/tmp", "--cap-add", "NET_ADMIN", "--group-add", "4711")
    make = "echo made >/made; chmod 600 /made"
    engine.docket("run", "--network", "none", "--name", "maker", "base", "sh", "-c", make)
    engine.docket("commit", "maker", "made")
    engine.docket("create", "--network", "none", "--name", "web", "--hostname", "h", *flags, "made", "sh", "-c", SCRIPT)
    here = engine.docket("start", "-a", "web", check=False)
    assert here.returncode == 5 and "uid=1000(user)" in here.stdout and "CapBnd:\t00000000a80435fb" in here.stdout
    bundle = tmp_path / "bundle"
    assert engine.docket("bundle", "export", "web", str(bundle)).stdout == f"{bundle}\n"
    runtimes = [[sys.executable, str(REPOSITORY / "scripts" / "docket-runtime"), "--root", str(tmp_path / "root")]]
    if runc := shutil.which("runc"):
        runtimes.append([runc, "--root", str(tmp_path / "runc")])
    for runtime in runtimes:
        there = subprocess.run(
            [*runtime, "run", "--bundle", str(bundle), f"docket-test-{os.getpid()}"], capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdin=subprocess.DEVNULL, check=False, timeout=60,
        )  # fmt: skip
        assert (there.returncode, there.stdout) == (5, here.stdout), f"{runtime[0]}: {there.stderr}"
    root = tmp_path / "root"
    shown = engine.docket("audit", "verify", "--runtime-root", str(root)).stdout
    assert f"the journal of {root} is whole: 4 lines" in shown
    journal = root / "journal"
    journal.write_bytes(journal.read_bytes().replace(b'"exit_code":5', b'"exit_code":0'))
    assert "NOT whole: line 3" in engine.refused("audit", "verify", "--runtime-root", str(root))


def test_what_can_not_be_exported(engine: Engine, tmp_path: Path) -> None:
    engine.docket("create", "--network", "none", "--name", "web", "base", "true")
    (tmp_path / "rootfs").mkdir()
    assert "exists already" in engine.refused("bundle", "export", "web", str(tmp_path))
    assert "No such container" in engine.refused("bundle", "export", "nobody", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
