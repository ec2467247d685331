"""Bringing the database to this engine's revision, by Alembic, in a process of its own.

Alembic stays out of the daemon: it would add some 15 MB to it for good, and is needed once in many starts. The
migrations are the folder ``migrations`` of the checkout, which an installation has as the package engine.migrations.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import engine
from engine.domain.errors import EngineError
from engine.eventlog.connections import connect
from engine.eventlog.layout import REVISION


def scripts_folder() -> Path:
    """Where the migrations are. Raises EngineError for an incomplete installation."""
    package = Path(engine.__file__).resolve().parent
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise EngineError(f'no migrations beside "{package}": the installation is incomplete')


def stored_revision(path: Path) -> str | None:
    """The revision that a database is at, None if there is none yet. Raises EngineError for what is no database."""
    if not path.exists():
        return None
    try:
        connection = connect(path, "ro")
        try:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
                return None
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise EngineError(f'cannot open the event log "{path}": {error}') from error
    return found[0] if found else None


def ensure(path: Path) -> None:
    """Migrate if the revision differs. Raises EngineError; a database of a newer engine is refused untouched."""
    stored = stored_revision(path)
    if stored == REVISION:
        return
    if stored is not None and stored > REVISION:
        raise EngineError(
            f'the event log "{path}" was written by a newer engine: it is at revision {stored}, and this engine '
            f"({engine.__version__}) knows revisions up to {REVISION}: install the newer engine"
        )
    upgrade_in_child(path)


def upgrade_in_child(path: Path) -> None:
    """Run this module as a program. Raises EngineError with the last line that it says."""
    # the child finds what this process finds; -P, because the working folder may be anybody's
    search = [str(Path(engine.__file__).resolve().parent.parent), *filter(os.path.isabs, sys.path)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise EngineError(f'cannot migrate the event log "{path}": {said[-1]}')


def upgrade(path: Path, revision: str = "head") -> None:
    """Migrate here and now: all steps in one transaction, so that a crash leaves the database as it was."""
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    database = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=NullPool)
    # SQLite can roll DDL back, but the driver's implicit transactions would not cover it
    event.listen(database, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))  # it holds everybody's environments
    connection = connect(path, "rw")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


if __name__ == "__main__":
    upgrade(Path(sys.argv[1]))
