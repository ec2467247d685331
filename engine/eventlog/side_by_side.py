"""Functions that run side by side, each in a fork of this process."""

from __future__ import annotations

import gc
import os
import pickle
from typing import Any, Callable, Sequence, TypeVar

from engine.domain.errors import EngineError

T = TypeVar("T")


def side_by_side(functions: Sequence[Callable[[], T]]) -> list[T]:
    """What each of them answers with. Raises EngineError if one of them did, or if a process ended without an answer.

    For a process without threads. The forks collect no garbage: they make no cycles, and end soon."""
    gc.freeze()
    begun = [_fork(function) for function in functions]
    answers = [_answer(*child) for child in begun]
    for answer in answers:
        if isinstance(answer, EngineError):
            raise answer
    return answers


def _fork(function: Callable[[], Any]) -> tuple[int, int]:
    """Answers with the process's id and the pipe that its answer comes by."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    status = 1
    try:
        gc.disable()
        with open(writer, "wb") as pipe:
            pickle.dump(_result(function), pipe)
        status = 0
    finally:
        os._exit(status)


def _result(function: Callable[[], T]) -> T | EngineError:
    try:
        return function()
    except EngineError as error:
        return error


def _answer(pid: int, reader: int) -> Any:
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        return EngineError(f"a process that was to verify ended with status {os.waitstatus_to_exitcode(status)}")
    return pickle.loads(answer)
