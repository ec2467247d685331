"""Volumes."""

from __future__ import annotations

from typing import Any

from engine.api.times import rfc3339


def inspect(view: Any) -> dict[str, Any]:
    state = view.state
    return {
        "CreatedAt": rfc3339(state.created_at_us),
        "Driver": state.driver,
        "Labels": state.labels or None,
        "Mountpoint": str(view.mountpoint),
        "Name": state.id,
        "Options": state.options or None,
        "Scope": "local",
    }


def with_usage(view: Any, size_bytes: int) -> dict[str, Any]:
    """For system/df."""
    return inspect(view) | {"UsageData": {"RefCount": len(view.users), "Size": size_bytes}}
