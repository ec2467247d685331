"""What the tests make on an engine before a table and take away after it, by Docker's own command line."""

from __future__ import annotations

import subprocess
from pathlib import Path

from clients.rows import TAG, Side


def docker(side: Side, *words: str) -> str:
    """Docker's command; what it printed."""
    command = ["docker", "-H", side.host, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout


def import_base(side: Side, rootfs: Path) -> None:
    """The image IMAGE."""
    docker(side, "import", str(rootfs), f"{TAG}:latest")


def tidy_up(side: Side) -> None:
    """Take away what a table left on an engine that is not ours, by our names alone."""
    for listing, removal in (
        (("ps", "-aq", "--filter", f"name={TAG}"), ("rm", "-fv")),
        (("ps", "-aq", "--filter", f"label=tests={TAG}"), ("rm", "-fv")),
        (("network", "ls", "-q", "--filter", f"name={TAG}"), ("network", "rm")),
        (("volume", "ls", "-q", "--filter", f"name={TAG}"), ("volume", "rm")),
        (("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={TAG}"), ("rmi", "-f")),
    ):
        if found := docker(side, *listing).split():
            docker(side, *removal, *found)
