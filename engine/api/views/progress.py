"""Progress at a registry as Docker's clients read it: one JSON document a line."""

from __future__ import annotations

from typing import Any, Iterator


def lines(notice: Any) -> Iterator[dict[str, Any]]:
    """The documents of one notice. ``progressDetail`` is there for layers, filled where something is counted."""
    line: dict[str, Any] = {"status": notice.status}
    if notice.id and not notice.status.startswith("Pulling from"):
        counted = {"current": notice.current, "total": notice.total}
        line["progressDetail"] = {name: value for name, value in counted.items() if value} if notice.total else {}
    if notice.id:
        line["id"] = notice.id
    yield line
    if notice.aux is not None:
        yield {"progressDetail": {}, "aux": notice.aux}
