"""Agents of ssh with keys of their own, and what asks them in a container."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest

from support.waiting import eventually


def make_key(path: Path) -> str:
    """Make a pair without a pass phrase. Answers with how ssh-add lists it."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("ssh-agent is not installed")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path], check=True)
    return subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True).stdout


@contextmanager
def agent_with(key: Path, socket: Path) -> Iterator[str]:
    """The path of its socket."""
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        eventually(socket.exists, what="the agent listens")
        subprocess.run(["ssh-add", "-q", key], env={**os.environ, "SSH_AUTH_SOCK": str(socket)}, check=True)
        yield str(socket)
    finally:
        process.terminate()
        process.wait()


def copy_ssh_add(root: Path) -> None:
    """The machine's, with the libraries that it links to, where they are here."""
    program = shutil.which("ssh-add")
    assert program is not None
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    copies = {path: root / path.lstrip("/") for path in re.findall(r"(/\S+) \(0x", libraries)}
    for path, target in {**copies, program: root / "bin/ssh-add"}.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
