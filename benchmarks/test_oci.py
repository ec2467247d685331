"""``docket-runtime`` against runc (Debian's package runc) on the same bundle, with an engine running."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from support.containers import layer
from support.engine import Engine
from support.sources import REPOSITORY
from test_containers import against

from engine.kernel import seccomp

CALLS = 300_000
"""Pairs of read(2) and write(2)."""


class Bundle:
    """One bundle, run by either runtime with a root in memory, as /run is."""

    def __init__(self, home: Path, engine: Engine, runc: str) -> None:
        self.path = home / "bundle"
        self.path.mkdir()
        self._environment = engine.environment()
        # as it is installed: isolated, and without looking for packages
        self._ours = [sys.executable, "-IS", str(REPOSITORY / "scripts/docket-runtime"), "--root", str(home / "ours")]
        self._runc = [runc, "--root", str(home / "runc")]
        subprocess.run([*self._ours, "spec", "--bundle", str(self.path)], env=self._environment, check=True)
        self._engine_less = {**self._environment, "DOCKET_RUN": str(home / "none")}

    def configure(self, *args: str, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        path = self.path / "config.json"
        spec = json.loads(path.read_text())
        spec["root"]["path"] = str(layer())
        spec["process"] |= {"args": list(args), "terminal": False}
        spec["linux"]["cgroupsPath"] = f"/docket-bench-{os.getpid()}"
        if change:
            change(spec)
        path.write_text(json.dumps(spec))

    def ours(self, *, alone: bool = False) -> None:
        self._run(self._ours, self._engine_less if alone else self._environment)

    def runc(self) -> None:
        self._run(self._runc, self._environment)

    def _run(self, command: list[str], environment: dict[str, str]) -> None:
        subprocess.run(
            [*command, "run", "--bundle", str(self.path), f"bench-{os.getpid()}"], env=environment, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture
def bundle(engine: Engine) -> Iterator[Bundle]:
    if (runc := shutil.which("runc")) is None:
        pytest.skip("no runc here: install Debian's package runc")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as home:
        yield Bundle(Path(home), engine, runc)


def test_run(benchmark: Any, bundle: Bundle) -> None:
    bundle.configure("true")
    against(benchmark, "docket-runtime run, an engine running", bundle.ours, bundle.runc, 1.2, rounds=15)


def test_run_alone(benchmark: Any, bundle: Bundle) -> None:
    """Without an engine."""
    bundle.configure("true")
    against(benchmark, "docket-runtime run, no engine", lambda: bundle.ours(alone=True), bundle.runc, 1.2, rounds=15)


def test_seccomp(benchmark: Any, bundle: Bundle) -> None:
    """A program that does nothing but calls, under Docker's profile: our program for it against libseccomp's."""
    profile = json.loads((REPOSITORY / "engine/runtime/seccomp-default.json").read_text())
    resolved = seccomp.resolve(profile, ["CAP_KILL"])
    bundle.configure(
        "dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={CALLS}",
        change=lambda spec: spec["linux"].update(seccomp=resolved),
    )  # fmt: skip
    against(benchmark, "reads and writes under seccomp", bundle.ours, bundle.runc, 1.05, rounds=7)
