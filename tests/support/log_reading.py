"""Reading an engine's log past the engine: what the rows say, whoever is or isn't running."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from engine.domain.container import ContainerExited
from engine.domain.nouns import EVENT_TYPES


def rows(root: Path) -> list[tuple[int, str, str]]:
    """Sequence, stream and type of every event."""
    database = sqlite3.connect(f"file:{root / 'docket.db'}?mode=ro", uri=True)
    try:
        return database.execute("select seq, stream, type from events order by seq").fetchall()
    finally:
        database.close()


def open_intents(root: Path) -> dict[str, set[str]]:
    """Stream -> kinds of intents without an outcome. Fails where an outcome has no intent, or an intent opens twice."""
    open_: dict[str, set[str]] = {}
    for seq, stream, kind in rows(root):
        event, intents = EVENT_TYPES[kind], open_.setdefault(stream, set())
        if event.OPENS:
            assert event.OPENS not in intents, f"event {seq}: {event.OPENS} of {stream} is opened twice"
            intents.add(event.OPENS)
        if event.CLOSES:
            assert event.CLOSES in intents, f"event {seq}: {kind} of {stream} closes nothing"
            intents.remove(event.CLOSES)
        if event is ContainerExited:
            intents.discard("stop")
    return {stream: intents for stream, intents in open_.items() if intents}
