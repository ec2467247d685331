"""Hooks (config.md, "POSIX-platform Hooks"): programs of the bundle's author, run at points of a container's life."""

from __future__ import annotations

import errno
import json
import os
import signal
from typing import Any, Sequence

Json = dict[str, Any]


def run(hooks: Sequence[Json] | None, state: Json, point: str) -> None:
    """In order, each with the state on its standard input. Raises OSError where one fails or takes too long."""
    if not hooks:
        return
    import subprocess

    for hook in hooks:
        name = f"{point} hook {hook['path']}"
        arguments = hook.get("args") or [hook["path"]]
        environment = dict(entry.partition("=")[::2] for entry in hook.get("env") or [])
        process = subprocess.Popen(
            arguments, executable=hook["path"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            _, said = process.communicate(json.dumps(state).encode(), timeout=hook.get("timeout") or None)
        except subprocess.TimeoutExpired as error:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            raise OSError(errno.ETIMEDOUT, f"it took longer than {hook['timeout']} s", name) from error
        if process.returncode != 0:
            words = said.decode(errors="replace").strip()[:200]
            raise OSError(errno.ECANCELED, f"exit status {process.returncode}: {words}", name)
