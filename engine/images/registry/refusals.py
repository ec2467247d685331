"""What a registry says when it refuses, as an error of the engine's family.

    {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": ...}]}

The text is the registry's: it is cut to length and freed of what a terminal would obey.
"""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any

from engine.domain.errors import (
    EngineError,
    Forbidden,
    InvalidArgument,
    NotFound,
    NotSupported,
    Unauthorized,
    Unavailable,
)
from engine.images.documents import parse_document

if TYPE_CHECKING:
    from engine.images.registry.transport import Answer

_BODY_LIMIT_BYTES = 64 * 1024
_TEXT_LIMIT = 500
_MOST_ERRORS = 5
_CLASSES: dict[int, type[EngineError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: NotSupported,
    408: Unavailable,
    425: Unavailable,
    429: Unavailable,
    501: NotSupported,
}
_DEFAULTS = {
    401: "unauthorized: authentication required",
    403: "denied: requested access to the resource is denied",
    404: "not found",
    429: "toomanyrequests: too many requests",
}


def clean(text: str) -> str:
    """Foreign text, fit for one line of a message."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _TEXT_LIMIT else line[:_TEXT_LIMIT] + "..."


def status_line(status: int) -> str:
    """``503 Service Unavailable``."""
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def refusal(answer: Answer) -> EngineError:
    """The error for a status that is no success. Reads the body, bounded, and closes the answer."""
    said = said_by(answer.beginning(_BODY_LIMIT_BYTES))
    kind = _CLASSES.get(answer.status, Unavailable if answer.status >= 500 else InvalidArgument)
    unknown = f"received unexpected HTTP status: {status_line(answer.status)}"
    return kind(said or _DEFAULTS.get(answer.status, unknown))


def said_by(body: bytes) -> str:
    """The errors in a body as Docker words them (``code: message``); "" where it is something else."""
    try:
        document = parse_document(body, "the error")
    except InvalidArgument:
        return ""
    if not isinstance(document, dict):
        return ""
    listed = document.get("errors")
    if not isinstance(listed, list) or not listed:
        detail = document.get("details") or document.get("message") or document.get("error_description")
        return clean(detail) if isinstance(detail, str) else ""
    return clean("; ".join(filter(None, (_worded(error) for error in listed[:_MOST_ERRORS]))))


def _worded(error: Any) -> str:
    if not isinstance(error, dict):
        return ""
    code, message = error.get("code"), error.get("message")
    name = code.lower().replace("_", " ") if isinstance(code, str) else ""
    return ": ".join(part for part in (name, message if isinstance(message, str) else "") if part)
