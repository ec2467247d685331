"""The values that go into the log and come out of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Mapping, Sequence

from engine.domain.machine import Event
from engine.eventlog.codec import decode_event


@dataclass(frozen=True, slots=True)
class Context:
    """Who asked and why: the same for all events of one append.

    ``actor`` is what the kernel says about the caller, and the door; ``correlation`` the request's id; ``causation``
    what led here, ``request:<id>`` or ``event:<seq>``.
    """

    actor: Mapping[str, Any]
    correlation: str
    causation: str


@dataclass(frozen=True, slots=True)
class Change:
    """Events for one stream, which must still be at ``expected_version``. Without events it only asserts that."""

    noun: str
    id: str
    expected_version: int
    events: Sequence[Event] = ()

    @property
    def stream(self) -> str:
        return f"{self.noun}/{self.id}"


@dataclass(frozen=True, slots=True)
class Document:
    """A text that events name by digest (a container's configuration), so that it can be redacted one day."""

    kind: str
    body: bytes

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class Recorded:
    """An event as it stands in the log. ``time_us`` is microseconds since the epoch, by a clock that may jump. Its JSON
    is parsed where somebody asks for it: most of those who record an event don't."""

    seq: int
    stream: str
    version: int
    type: str
    schema: int
    time_us: int
    boot_id: str
    actor_text: str
    correlation: str
    causation: str
    data_text: str
    documents_text: str
    prev_hash: str
    hash: str

    @cached_property
    def actor(self) -> dict[str, Any]:
        return json.loads(self.actor_text)

    @cached_property
    def data(self) -> dict[str, Any]:
        return json.loads(self.data_text)

    @cached_property
    def documents(self) -> dict[str, str]:
        """Digest -> kind, of those that came with the event."""
        return json.loads(self.documents_text)

    @property
    def noun(self) -> str:
        return self.stream.partition("/")[0]

    @property
    def id(self) -> str:
        return self.stream.partition("/")[2]

    @property
    def event(self) -> Event:
        """The domain's event, lifted to its newest schema."""
        return decode_event(self.type, self.schema, dict(self.data))


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log. Published somewhere else, it is what a rewritten log can't agree with."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What verification found wrong, at the row of which event (0: not at any)."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a verification: sound if ``problems`` is empty. ``redacted`` are digests of documents whose
    bodies were taken out; the events still name them."""

    events: int
    head: Head
    problems: list[Problem] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)
