"""The log's own records, for Docket's endpoints."""

from __future__ import annotations

from typing import Any

from engine.api.times import rfc3339nano


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
        "prev_hash": _hex(record.prev_hash),
        "hash": _hex(record.hash),
    }


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
