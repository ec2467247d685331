"""A bundle and the runtime's command line for each test, with the census around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import pytest

from support.census import assert_nothing_left, take_census
from support.containers import layer
from support.machine import ENGINE_NEEDS, data_folder, first_lack
from support.sources import REPOSITORY


class Runtime:
    """``docket-runtime`` on a root of its own, and a bundle whose specification a test changes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "root"
        self.bundle = home / "bundle"
        (self.bundle / "rootfs").mkdir(parents=True)
        subprocess.run(["cp", "-a", f"{layer()}/.", str(self.bundle / "rootfs")], check=True)
        self("spec", "--bundle", str(self.bundle))
        self.cgroup = f"docket-test-oci-{home.name}"

    @property
    def command(self) -> list[str]:
        """As containerd calls it: by a path, with a root."""
        return [sys.executable, "-IS", str(REPOSITORY / "scripts" / "docket-runtime"), "--root", str(self.root)]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(REPOSITORY), "DOCKET_RUN": str(self.home / "no-engine")}

    def configure(self, *args: str, change: Callable[[dict[str, Any]], None] | None = None) -> None:
        path = self.bundle / "config.json"
        spec = json.loads(path.read_text())
        spec["process"] |= {"args": list(args), "terminal": False}
        spec["linux"]["cgroupsPath"] = f"/{self.cgroup}/one"
        if change is not None:
            change(spec)
        path.write_text(json.dumps(spec))

    def __call__(self, *words: str, code: int = 0, **options: Any) -> str:
        """Run a verb; what it printed."""
        done = self.complete(*words, **options)
        assert done.returncode == code, f"{words}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout or ""

    def refused(self, *words: str, code: int = 1) -> str:
        """Run a verb that must fail with one line; the line."""
        done = self.complete(*words)
        assert done.returncode == code and len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr.strip()

    def complete(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **options.pop("environment", {})}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.run(
            [*self.command, *words], text=True, env=environment, timeout=60, check=False, **streams
        )

    def create(self, name: str = "one", flags: Sequence[str] = ()) -> Path:
        """Create the container; the file that its output goes to."""
        output = self.home / f"{name}.out"
        with output.open("w") as file:
            self(*flags, "create", "--bundle", str(self.bundle), name, stdout=file, stderr=file)
        return output

    def status(self, name: str = "one") -> str:
        return json.loads(self("state", name))["status"]

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.root / "journal").read_text().splitlines()]

    def close(self) -> None:
        for name in self("list", "-q").split():
            self("delete", "--force", name)


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    if (reason := first_lack(*ENGINE_NEEDS)) is not None:
        pytest.skip(reason)
    layer()
    before = take_census()
    home = Path(tempfile.mkdtemp(prefix="oci-home-", dir=data_folder()))
    runtime = Runtime(home)
    try:
        yield runtime
    finally:
        try:
            runtime.close()
        finally:
            shutil.rmtree(home)
            _remove_parent(runtime.cgroup)
    assert_nothing_left(before)


def _remove_parent(path: str) -> None:
    from engine.kernel import cgroups

    cgroups.Cgroup(path).remove()
