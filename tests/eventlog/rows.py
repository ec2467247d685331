"""Everything that a database holds, for comparisons row by row."""

from __future__ import annotations

import sqlite3
from typing import Any

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'alembic_version' ORDER BY name"


def dump(database: sqlite3.Connection, *names: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of these tables (of all but Alembic's), sorted."""
    names = names or tuple(name for (name,) in database.execute(TABLES))
    return {name: sorted(database.execute(f"SELECT * FROM {name}"), key=repr) for name in names}
