"""The database's revisions: made by Alembic at start, like what SQLAlchemy believes, and never half-way."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

import engine
from engine.domain.errors import EngineError
from engine.domain.volume import VolumeCreating
from engine.eventlog import migrate, queries, statements
from engine.eventlog.layout import EVENT_COLUMNS, KEYS, PROJECTED, REVISION, TRIGGERS
from engine.eventlog.log import Change, EventLog
from engine.eventlog.tables import metadata

from lives import CONTEXT


def schema(path: Path) -> dict[str, tuple[str, str]]:
    """Name -> kind and definition of everything in a database but Alembic's own table."""
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT name, type, coalesce(sql, '') FROM sqlite_master").fetchall()
    database.close()
    return {name: (kind, " ".join(sql.split())) for name, kind, sql in rows if "alembic" not in name}


def revision_of(path: Path) -> str | None:
    return migrate.stored_revision(path)


def open_log(path: Path, **changes: Any) -> EventLog:
    return EventLog(path, clock=lambda: 1, boot_id="b", **changes)


def test_the_migrations_make_what_the_statements_expect(path: Path, tmp_path: Path) -> None:
    expected = tmp_path / "expected.db"
    database = create_engine(f"sqlite:///{expected}")
    metadata.create_all(database)
    with database.begin() as connection:
        for trigger in TRIGGERS.values():
            connection.exec_driver_sql(trigger)
    database.dispose()
    assert schema(path) == schema(expected)


def test_the_newest_migration_is_the_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.scripts_folder()))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == REVISION
    numbers = sorted(script.revision for script in scripts.walk_revisions())
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]


def test_a_fresh_log_is_made_by_a_child_for_the_owner_alone(tmp_path: Path) -> None:
    """Its folder is wherever the engine was started: what lies there is not imported."""
    evil = tmp_path / "alembic.py"
    evil.write_text("raise SystemExit('imported from the working folder')")
    program = (
        f"import sys; sys.path[:] = [{str(Path(engine.__file__).parent.parent)!r}, *filter(None, sys.path)]\n"
        "from pathlib import Path; from engine.eventlog.log import EventLog\n"
        "log = EventLog(Path('docket.db'), clock=lambda: 1, boot_id='b')\n"
        "print(log.head().seq, 'alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("0 False\n", "")
    assert (tmp_path / "docket.db").stat().st_mode & 0o777 == 0o600
    assert revision_of(tmp_path / "docket.db") == REVISION


def test_a_log_at_its_revision_starts_without_migrating(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "upgrade_in_child", lambda path: pytest.fail("nothing to migrate"))
    open_log(path).close()


def test_a_database_of_a_newer_engine_is_refused_untouched(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '0999'")
    database.close()
    content = path.read_bytes()
    with pytest.raises(EngineError) as refused:
        open_log(path)
    assert "written by a newer engine" in str(refused.value) and "0999" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == content


@pytest.fixture
def next_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The migrations with one more, which does two things and can be made to fail between them."""
    folder = Path(shutil.copytree(migrate.scripts_folder(), tmp_path / "migrations"))
    (folder / "versions" / "9998_next.py").write_text(
        '"""Next."""\nimport sqlalchemy as sa\nfrom alembic import op\nfrom pathlib import Path\n'
        f'revision, down_revision = "9998", "{REVISION}"\n'
        "def upgrade():\n"
        '    op.add_column("names", sa.Column("comment", sa.Text))\n'
        f'    if Path({str(tmp_path / "fail")!r}).exists(): raise RuntimeError("out of luck")\n'
        '    op.create_table("extra", sa.Column("id", sa.Integer, primary_key=True))\n'
    )
    monkeypatch.setattr(migrate, "scripts_folder", lambda: folder)
    return tmp_path


def test_an_old_database_is_brought_forward_with_its_rows(path: Path, next_scripts: Path) -> None:
    log = open_log(path)
    log.append([Change("volume", "v", 0, [VolumeCreating("v", 1)])], CONTEXT)
    head = log.head()
    log.close()
    migrate.upgrade(path)
    assert revision_of(path) == "9998" and "extra" in schema(path)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT seq, hash FROM events").fetchall() == [(head.seq, head.hash)]
    database.close()


def test_a_migration_that_fails_leaves_everything_as_it_was(path: Path, next_scripts: Path) -> None:
    before = schema(path)
    (next_scripts / "fail").touch()
    with pytest.raises(RuntimeError, match="out of luck"):
        migrate.upgrade(path)
    assert schema(path) == before and revision_of(path) == REVISION
    (next_scripts / "fail").unlink()
    migrate.upgrade(path)
    assert revision_of(path) == "9998"


def test_what_the_child_says_last_is_the_error(tmp_path: Path) -> None:
    for place in (tmp_path / "absent" / "docket.db", Path("/proc/docket.db")):
        with pytest.raises(EngineError, match="cannot migrate the event log .*No such file or directory") as failed:
            open_log(place)
        assert "\n" not in str(failed.value)


def test_what_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "docket.db"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(EngineError, match='cannot open the event log ".*docket.db": file is not a database'):
        open_log(path)
    assert path.read_bytes() == b"something else entirely" * 100


def test_an_incomplete_installation_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "__file__", str(tmp_path / "engine" / "__init__.py"))
    with pytest.raises(EngineError, match="installation is incomplete"):
        migrate.scripts_folder()
    for beside in ("migrations", "engine/migrations"):
        (tmp_path / beside).mkdir(parents=True)
        (tmp_path / beside / "env.py").touch()
        assert migrate.scripts_folder() == tmp_path / beside


def test_the_statements_are_compiled_from_what_stands_in_queries() -> None:
    assert Path(statements.__file__).read_text() == queries.module(), "run python -m engine.eventlog.queries"


def test_the_layout_is_that_of_the_tables() -> None:
    kinds = {name: column.type.python_type for name, column in metadata.tables["events"].columns.items()}
    assert list(EVENT_COLUMNS.items()) == list(kinds.items())
    others = metadata.tables.keys() - {"events", "documents", "projections"}
    assert {name: sorted(columns) for name, columns in PROJECTED.items()} == {
        name: sorted(metadata.tables[name].columns.keys()) for name in others
    }
    assert KEYS == {name: tuple(metadata.tables[name].primary_key.columns.keys()) for name in others}
