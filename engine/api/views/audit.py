"""The log's own records, for Docket's endpoints."""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import cache
from typing import Any, Mapping

from engine.api.times import rfc3339nano
from engine.domain.nouns import EVENT_TYPES


def _hex(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else value


def recorded(record: Any) -> dict[str, Any]:
    """One event of the log with its whole envelope."""
    return {
        "seq": record.seq,
        "stream": record.stream,
        "version": record.version,
        "type": record.type,
        "schema": record.schema,
        "time": rfc3339nano(record.time_us),
        "time_us": record.time_us,
        "boot_id": record.boot_id,
        "actor": record.actor,
        "correlation": record.correlation,
        "causation": record.causation,
        "data": record.data,
        "defaults": defaults_of(record.type, record.data),
        "prev_hash": _hex(record.prev_hash),
        "hash": _hex(record.hash),
    }


@cache
def _defaults(kind: str) -> dict[str, Any]:
    """What the fields of an event say where there is nothing to say."""
    event = EVENT_TYPES.get(kind)
    found: dict[str, Any] = {}
    for field in fields(event) if event else ():  # type: ignore[arg-type]
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return found


def defaults_of(kind: str, data: Mapping[str, Any]) -> list[str]:
    """The names of the facts that an event states only because every event of its kind does."""
    usual = _defaults(kind)
    return sorted(name for name, value in data.items() if name in usual and value == usual[name])


def redacted(value: Any) -> dict[str, Any]:
    """A document that was taken out."""
    return {"digest": value.digest, "seq": value.recorded.seq}


def run(value: Any) -> dict[str, Any]:
    """A start that ``who-ran`` found."""
    record = value.recorded
    return {
        "seq": record.seq,
        "time": rfc3339nano(record.time_us),
        "type": record.type,
        "container_id": value.container_id,
        "name": value.name,
        "image": value.image,
        "actor": record.actor,
        "correlation": record.correlation,
        "facts": list(value.facts),
    }


def head(value: Any) -> dict[str, Any]:
    """``published`` is what ``audit verify --against`` takes."""
    digest = _hex(value.hash)
    return {"seq": value.seq, "hash": digest, "published": f"{value.seq}:{digest}"}


def report(value: Any) -> dict[str, Any]:
    return {
        "ok": not value.problems,
        "events": value.events,
        "head": head(value.head),
        "problems": [{"seq": problem.seq, "what": problem.what} for problem in value.problems],
    }


def fsck(value: Any) -> dict[str, Any]:
    return {
        "ok": value.is_whole,
        "layers": value.layers,
        "blobs": value.blobs,
        "problems": [
            {"object": one.object, "what": one.what, "images": one.images, "repaired": one.repaired, "pull": one.pull}
            for one in value.problems
        ],
    }
