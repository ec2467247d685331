"""Execs."""

from __future__ import annotations

from typing import Any

from engine.domain.exec import Status


def inspect(view: Any) -> dict[str, Any]:
    state, config = view.state, view.config
    user = {"user": state.user} if state.user else {}
    return {
        "ID": state.id,
        "Running": state.status is Status.RUNNING,
        "ExitCode": state.exit_code,
        "ProcessConfig": {
            "tty": state.tty,
            "entrypoint": state.command[0],
            "arguments": state.command[1:],
            "privileged": state.privileged,
            **user,
        },
        "OpenStdin": bool(config.get("AttachStdin")),
        "OpenStderr": bool(config.get("AttachStderr")),
        "OpenStdout": bool(config.get("AttachStdout")),
        "CanRemove": False,
        "ContainerID": state.container_id,
        "DetachKeys": config.get("DetachKeys") or "",
        "Pid": state.pid,
    }
