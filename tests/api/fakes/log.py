"""The log in memory: the real machines of the domain fold what a list records, under a clock of its own."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from engine.domain.errors import NotFound
from engine.domain.machine import Event
from engine.domain.nouns import NOUNS
from engine.eventlog.log import Context

START_US = 1_700_000_000_000_000


@dataclass(frozen=True)
class Recorded:
    """One event of the log, as the API reads it."""

    seq: int
    stream: str
    version: int
    event: Event
    time_us: int
    actor: Mapping[str, Any]
    correlation: str
    causation: str
    boot_id: str = "boot"
    prev_hash: str = "00"
    hash: str = "11"

    @property
    def type(self) -> str:
        return self.event.TYPE

    @property
    def schema(self) -> int:
        return self.event.SCHEMA

    @property
    def data(self) -> dict[str, Any]:
        return {name: getattr(self.event, name) for name in self.event.FIELDS}


class Log:
    """Records, current states, and a clock that advances by a second with every event."""

    def __init__(self) -> None:
        self.records: list[Recorded] = []
        self.states: dict[str, dict[str, Any]] = defaultdict(dict)
        self.changed = threading.Condition()
        self.now_us = START_US

    def clock(self) -> int:
        return self.now_us

    def append(self, noun: str, identifier: str, event: Event, context: Context) -> None:
        stream = f"{noun}/{identifier}"
        with self.changed:
            self.now_us += 1_000_000
            version = 1 + sum(record.stream == stream for record in self.records)
            folded = NOUNS[noun].evolve(self.states[noun].get(identifier), event)
            self.states[noun][identifier] = folded
            self.records.append(
                Recorded(
                    len(self.records) + 1, stream, version, event, self.now_us,
                    context.actor, context.correlation, context.causation,
                )
            )  # fmt: skip
            if folded.status == "removed":
                del self.states[noun][identifier]
            self.changed.notify_all()

    def wait_for(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        with self.changed:
            return self.changed.wait_for(ready, timeout_s)

    def find(self, noun: str, ref: str, what: str) -> Any:
        ref = ref.removeprefix("/")
        found = [
            state
            for state in self.states[noun].values()
            if ref in (state.id, getattr(state, "name", "")) or (ref and state.id.startswith(ref))
        ]
        if not found:
            raise NotFound(f"no such {what}: {ref}")
        return found[0]
