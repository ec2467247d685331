"""The engine in a privileged container of itself: its data on a volume, everything else as on a machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.engine import Engine
from support.sources import REPOSITORY

pytestmark = pytest.mark.kernel

INNER = """
docket() { %s -P -c 'import sys; from engine.cli.main import main; sys.exit(main())' "$@"; }
set -e
docket import /rootfs.tar base >/dev/null
docket run --rm -m 32m --pids-limit 20 base sh -c 'echo own $(ls /proc | grep -c "^1$") $(ls /sys/class/net)'
docket run -d --name web --network none base sleep 100 >/dev/null
docket pause web >/dev/null; docket unpause web >/dev/null
echo exec $(docket exec web cat /proc/1/comm)
docket rm -f web
docket audit verify | cut -d: -f1
"""


def test_the_engine_runs_in_a_container_of_itself(engine: Engine, rootfs: Path, tmp_path: Path) -> None:
    script = tmp_path / "inner.sh"
    script.write_text(INNER % sys.executable)
    tmp_path.chmod(0o755)
    folders = {"/usr", "/lib", "/lib64", sys.base_prefix, sys.prefix, str(REPOSITORY)}
    mounts = [word for path in sorted(folders) if Path(path).exists() for word in ("-v", f"{path}:{path}:ro")]
    mounts += ["-v", f"{rootfs}:/rootfs.tar:ro", "-v", f"{script}:/inner.sh:ro", "-v", "inner:/var/lib/docket"]
    settings = ("--privileged", "--tmpfs", "/run:exec", "-e", f"PYTHONPATH={REPOSITORY}")
    done = engine.docket("run", "--rm", "--network", "none", *settings, *mounts, "base", "sh", "/inner.sh")
    assert done.stdout.splitlines() == ["own 1 eth0 lo", "exec sleep", "web", "the log is whole"], done.stderr
