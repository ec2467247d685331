"""What a shim reports as an error, as the exception that the services get."""

from __future__ import annotations

import errno
from typing import Any

from engine.domain.errors import Conflict, EngineError


class LaunchFailed(EngineError):
    """A process could not be started, at ``step``. ``exit_code`` is what a client's run should end with: 127 where
    the command isn't there, 126 where it can't be executed, else 128."""

    def __init__(self, message: str, *, step: str, errno: int, exit_code: int) -> None:
        super().__init__(message)
        self.step = step
        self.errno = errno
        self.exit_code = exit_code


class Paused(Conflict):
    """Nothing begins in a container that is paused."""


def launch_failed(report: dict[str, Any]) -> LaunchFailed:
    step, text = report["step"], report["message"]
    if step != "process.user":  # a user that the image doesn't know, in Docker's words
        text = f"unable to start container process: {'' if step in ('', 'exec.start') else f'{step}: '}{text}"
    return LaunchFailed(text, step=step, errno=report["errno"], exit_code=report["exit_code"])


def exec_failed(container_id: str, report: dict[str, Any]) -> EngineError:
    """The shim's own refusal has no step: the container was paused while the request was on its way."""
    if report["errno"] == errno.EBUSY and not report["step"]:
        return Paused(f"container {container_id} is paused, unpause the container before exec")
    return launch_failed(report)


def os_error(report: dict[str, Any]) -> OSError:
    error = OSError(report["errno"], report["message"])
    if report["step"]:
        error.step = report["step"]  # type: ignore[attr-defined]
    return error
