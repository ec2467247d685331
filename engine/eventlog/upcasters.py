"""Upcasters: how stored data of an old schema becomes data of the next one. Rows are never rewritten.

When an event's fields change incompatibly, its class counts SCHEMA up and a function is added here, which takes the
data of schema n and answers with data of schema n + 1. The golden samples in tests/eventlog/golden keep one stored
text for each type and schema for ever.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

UPCASTERS: Mapping[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""(event type, schema of the stored data) -> lift to the next schema."""
