"""The build cache in Docker's shape."""

from __future__ import annotations

from typing import Any

from engine.api.times import rfc3339nano
from engine.builder.usage import Usage


def cache_record(usage: Usage) -> dict[str, Any]:
    """An element of BuildCache of ``GET /system/df``."""
    return {
        "ID": usage.id.removeprefix("sha256:"), "Parents": [], "Type": usage.kind, "Description": usage.description,
        "InUse": usage.is_in_use, "Shared": usage.is_shared, "Size": usage.size_bytes,
        "CreatedAt": rfc3339nano(usage.created_us), "LastUsedAt": rfc3339nano(usage.last_used_us),
        "UsageCount": usage.uses,
    }  # fmt: skip
