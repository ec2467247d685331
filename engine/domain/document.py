"""A document whose body has been taken out: redacted. Its id is its digest, by which events go on to name it.

A document has no stream before that: it enters the log with the event that names it first.
"""

from __future__ import annotations

from typing import Any, ClassVar

from engine.domain.errors import InvalidArgument
from engine.domain.machine import Event, Statuses, Table, next_status
from engine.domain.record import Record


class Status(Statuses):
    REDACTED = "redacted"


class DocumentRedacted(Event):
    """The body left the database in the transaction of this event. It may be stored again, and redacted again."""

    TYPE: ClassVar[str] = "document.redacted"
    document_digest: str
    reason: str


EVENTS: tuple[type[Event], ...] = (DocumentRedacted,)

TRANSITIONS: Table[Status] = {
    (None, DocumentRedacted): Status.REDACTED,
    (Status.REDACTED, DocumentRedacted): Status.REDACTED,
}


class RedactedDocument(Record):
    """The fold of a document's stream."""

    id: str
    status: Status
    reason: str
    intents: tuple[str, ...] = ()


def evolve(state: RedactedDocument | None, event: Event) -> RedactedDocument:
    """Fold one event. Raises InvalidTransition."""
    status = next_status(TRANSITIONS, state.status if state else None, event, None)
    assert isinstance(event, DocumentRedacted)
    return RedactedDocument(event.document_digest, status, event.reason)


class RedactDocument(Record):
    document_digest: str
    reason: str


Command = RedactDocument


def decide(state: RedactedDocument | None, command: Command) -> list[Event]:
    """Answer a command with events. Whether there is such a document, the log knows. Raises InvalidArgument."""
    if not command.reason:
        raise InvalidArgument("a redaction needs a reason: it is all that is left to read")
    return [DocumentRedacted(command.document_digest, command.reason)]


def is_possible(state: RedactedDocument | None, event: Any) -> bool:
    """Whether a fact reported from below still has its place."""
    return (state.status if state else None, type(event)) in TRANSITIONS
