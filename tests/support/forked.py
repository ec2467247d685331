"""Run a function in a forked child, so that what it unshares, mounts or drops ends with it."""

from __future__ import annotations

import json
import os
import signal
import traceback
from typing import Any, Callable


class ChildFailed(AssertionError):
    """The child raised, or was ended by a signal; the message is its traceback or its wait status."""


def in_child(function: Callable[[], Any], *, timeout_s: int = 30) -> Any:
    """Call ``function`` in a child and return its JSON value. An OSError of the child is raised here as such."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(timeout_s)  # a child that hangs ends itself
            os.close(reader)
            _answer(writer, function)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    _, wait_status = os.waitpid(pid, 0)
    if not answer:
        raise ChildFailed(f"the child left no answer: exit code {os.waitstatus_to_exitcode(wait_status)}")
    outcome = json.loads(answer)
    if outcome["kind"] == "oserror":
        raise OSError(outcome["errno"], outcome["strerror"], outcome["filename"])
    if outcome["kind"] == "error":
        raise ChildFailed(outcome["traceback"])
    return outcome["value"]


def _answer(fd: int, function: Callable[[], Any]) -> None:
    try:
        outcome = {"kind": "value", "value": function()}
    except OSError as error:
        name = None if error.filename is None else str(error.filename)
        outcome = {"kind": "oserror", "errno": error.errno, "strerror": error.strerror, "filename": name}
    except BaseException:
        outcome = {"kind": "error", "traceback": traceback.format_exc()}
    data = json.dumps(outcome).encode()
    while data:
        data = data[os.write(fd, data) :]
