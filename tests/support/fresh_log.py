"""Databases for new engines, made from a template: migrating takes Alembic longer than most tests take."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path

from engine.eventlog.migrate import ensure


def place_empty_log(root: Path) -> None:
    """Put a database at this engine's revision, with nothing in it, where an engine on ``root`` looks for one."""
    descriptor = os.open(root / "docket.db", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_template())


@functools.cache
def _template() -> bytes:
    """What the migrations make of no database at all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "docket.db")
        ensure(path)
        return path.read_bytes()
