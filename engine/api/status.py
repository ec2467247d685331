"""Errors as Docker's clients know them: one table from class to HTTP status, one body."""

from __future__ import annotations

import json

from engine.domain import errors

STATUS: dict[type[BaseException], int] = {
    errors.InvalidArgument: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotModified: 304,
    errors.Conflict: 409,
    errors.EngineError: 500,
    errors.NotSupported: 501,
    errors.Unavailable: 503,
}

_DOCKERS_WORDS = (("no such container", "No such container"), ("no such image", "No such image"),
                  ("no such exec instance", "No such exec instance"))  # fmt: skip
"""Clients look for these words in the message, with Docker's capital."""

COMMAND_NOT_FOUND = 127
COMMAND_NOT_EXECUTABLE = 126


def status_of(error: BaseException) -> int:
    """The HTTP status of an error; 500 for whatever is not of the family."""
    if getattr(error, "exit_code", None) in (COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE):
        return 400  # the command is the client's mistake: Docker's clients make 127 or 126 of this
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def message_of(error: BaseException) -> str:
    """One line for the client."""
    if isinstance(error, errors.EngineError | OSError):
        text = errors.describe(error)
    else:
        text = f"internal error: {type(error).__name__}: {error}"
    text = " ".join(text.splitlines())
    for ours, theirs in _DOCKERS_WORDS:
        if text.startswith(ours):
            return theirs + text[len(ours) :]
    return text


def body_of(message: str) -> bytes:
    return json.dumps({"message": message}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
