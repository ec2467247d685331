"""Errors on their way from one process to another, as JSON."""

from __future__ import annotations

from engine.domain import errors
from engine.domain.errors import EngineError, NameTaken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def to_report(error: BaseException, what: str) -> dict[str, Any]:
    """``what`` was being done, should the error be a defect."""
    if isinstance(error, OSError):
        name = error.filename
        return {
            "class": "OSError", "errno": error.errno, "strerror": error.strerror or str(error),
            "filename": name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name,
            "step": getattr(error, "step", ""),
        }  # fmt: skip
    if isinstance(error, EngineError):
        return {"class": type(error).__name__, "message": str(error)}
    return {"class": "EngineError", "message": f"{what}: {type(error).__name__}: {error}"}


def from_report(report: dict[str, Any]) -> Exception:
    """The error that a report tells of, to be raised."""
    if report["class"] == "OSError":
        error = OSError(report["errno"] or 0, report["strerror"], report["filename"])
        if report["step"]:
            error.step = report["step"]  # type: ignore[attr-defined]
        return error
    kind = getattr(errors, report["class"], EngineError)
    if not issubclass(kind, EngineError) or kind is NameTaken:
        kind = EngineError
    return kind(report["message"])
