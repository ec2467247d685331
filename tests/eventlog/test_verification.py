"""Whatever is done to the file behind the log's back, verification finds it and names the row."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from engine.domain.container import ContainerCreated, ContainerRemoved, ContainerRemoving, ContainerStarting
from engine.domain.errors import EngineError
from engine.domain.exec import ExecCreated
from engine.domain.image import ImageCreated, ImageTagged
from engine.domain.layer import LayerStored, LayerUnpacking
from engine.domain.volume import VolumeCreated, VolumeCreating
from engine.eventlog import chain, verification
from engine.eventlog import log as log_module
from engine.eventlog.layout import TRIGGERS
from engine.eventlog.log import Change, Context, Document, EventLog, Head, Report
from engine.eventlog.verification import MOST_PROBLEMS, main, verify, verify_apart

from lives import CONTEXT, Lives
from rows import TABLES, dump

SMALL = Context({"uid": 0}, "r", "q:r")
CONFIG = Document("cfg", b'{"Env":[]}')
IMAGE = Document("image", b"{}")


def fill(log: EventLog) -> None:
    """One of everything, few bytes."""
    log.append([Change("layer", "l", 0, [LayerUnpacking("l", "d", "", "s"), LayerStored("l", 1, 1)])], SMALL)
    created = ImageCreated(IMAGE.digest, ["l"], 1, 1, "import")
    log.append([Change("image", IMAGE.digest, 0, [created, ImageTagged(IMAGE.digest, "b")])], SMALL, [IMAGE])
    log.append([Change("volume", "v", 0, [VolumeCreating("v", 1), VolumeCreated("v")])], SMALL)
    web = ContainerCreated("c", "web", IMAGE.digest, "b", CONFIG.digest, ["x"], 1, volumes=["v"])
    log.append([Change("container", "c", 0, [web])], SMALL, [CONFIG])
    log.append([Change("container", "c", 1, [ContainerStarting("c")])], SMALL)
    log.append([Change("exec", "e", 0, [ExecCreated("e", "c", CONFIG.digest, ["x"], 1)])], SMALL, [CONFIG])


@pytest.fixture
def small(open_log: Callable[..., EventLog], path: Path) -> Path:
    """A small sound log, closed."""
    log = open_log(boot_id="b")
    fill(log)
    assert log.verify() == Report(9, log.head(), [])
    log.close()
    return path


@pytest.fixture
def unguarded(small: Path, database: sqlite3.Connection) -> sqlite3.Connection:
    """The small log without its triggers."""
    for name in TRIGGERS:
        database.execute(f"DROP TRIGGER {name}")
    return database


def problems(
    path: Path, against: Head | None = None, parts: int = 1, *, log_only: bool = False
) -> list[tuple[int, str]]:
    """What verification finds beside the triggers that this test has dropped."""
    found = [(problem.seq, problem.what) for problem in verify(path, against, parts, log_only=log_only).problems]
    return [(seq, what) for seq, what in found if not what.startswith("trigger")]


def flips(database: sqlite3.Connection, table: str, column: str, key: str) -> Iterator[tuple[Any, Any, Any]]:
    """Every cell of a column, with each bit of it flipped in turn: (key, stored value, flipped value)."""
    for name, value in database.execute(f'SELECT {key}, "{column}" FROM {table}').fetchall():
        if isinstance(value, int):
            for bit in range(64):
                flipped = (value ^ 1 << bit) & 0xFFFF_FFFF_FFFF_FFFF
                yield name, value, flipped - (1 << 64) if flipped >> 63 else flipped
        elif value is not None:
            stored = value.encode() if isinstance(value, str) else value
            for bit in range(len(stored) * 8):
                flipped_bytes = bytearray(stored)
                flipped_bytes[bit // 8] ^= 1 << bit % 8
                yield name, value, bytes(flipped_bytes)


def columns(database: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    return [(name, kind) for _, name, kind, *_ in database.execute(f"PRAGMA table_info({table})")]


def flip_each(
    database: sqlite3.Connection, path: Path, table: str, key: str, most: int | None = None, *, log_only: bool = False
) -> Iterator[tuple[str, Any, Any, list[tuple[int, str]]]]:
    """Flip each bit of a table (``most`` of a column), one at a time: (column, key, the key now, problems found)."""
    database.execute("PRAGMA synchronous = OFF")
    casts = {name: "CAST(? AS TEXT)" if kind == "TEXT" else "?" for name, kind in columns(database, table)}
    for column, cast in casts.items():
        chosen = list(flips(database, table, column, key))
        if most is not None and len(chosen) > most:
            chosen = random.Random(column).sample(chosen, most)
        for name, value, flipped in chosen:
            try:
                database.execute(f'UPDATE {table} SET "{column}" = {cast} WHERE {key} = ?', (flipped, name))
            except sqlite3.IntegrityError:
                assert column in ("seq", "version", "valid_from")  # another row has that number: no such state exists
                continue
            now = flipped if column == key else name
            yield column, name, now, problems(path, log_only=log_only)
            restored = database.execute(
                f'UPDATE {table} SET "{column}" = {cast} WHERE {key} = {casts[key]}', (value, now)
            )
            assert restored.rowcount == 1


def test_each_flipped_bit_of_each_event_is_found_and_its_row_named(
    open_log: Callable[..., EventLog], path: Path, database: sqlite3.Connection
) -> None:
    log = open_log(boot_id="b")
    log.append([Change("volume", "v", 0, [VolumeCreating("v", 1), VolumeCreated("v")])], SMALL, [CONFIG])
    log.append([Change("exec", "e", 0, [ExecCreated("e", "c", CONFIG.digest, ["x"], 1)])], SMALL, [CONFIG])
    log.close()
    for name in TRIGGERS:
        database.execute(f"DROP TRIGGER {name}")
    flipped = 0
    for column, seq, now, found in flip_each(database, path, "events", "seq", log_only=True):
        assert {seq, now} & {place for place, _ in found}, (column, seq, now, found)
        flipped += 1
    assert flipped > 7000
    assert problems(path) == []


def test_each_flipped_bit_of_each_document_is_found_and_named(small: Path, unguarded: sqlite3.Connection) -> None:
    named = {IMAGE.digest: 3, CONFIG.digest: 7}
    flipped = 0
    for column, digest, _, found in flip_each(unguarded, small, "documents", "digest"):
        assert any(seq == named[digest] and digest in what for seq, what in found), (column, digest, found)
        flipped += 1
    assert flipped > 1000
    assert problems(small) == []


@pytest.mark.parametrize("table", ["names", "links", *(f"{noun}_{kind}" for noun in ("container", "exec", "image")
                                                       for kind in ("current", "history"))])  # fmt: skip
def test_a_flipped_bit_of_a_projection_is_found(small: Path, unguarded: sqlite3.Connection, table: str) -> None:
    key = {"names": "name", "links": "valid_from"}.get(table, "id" if table.endswith("current") else "valid_from")
    if table == "links":
        unguarded.execute("DELETE FROM links WHERE valid_from != 3")
    sound, flipped = problems(small), 0
    for column, _, _, found in flip_each(unguarded, small, table, key, most=150):
        assert any(table in what for _, what in set(found) - set(sound)), (column, found)
        flipped += 1
    assert flipped > 50
    assert problems(small) == sound


def test_a_flipped_bit_of_the_file_is_found_or_is_of_no_consequence(
    small: Path, database: sqlite3.Connection, tmp_path: Path
) -> None:
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    sound = dump(database)
    del sound["projections"]  # a damaged fingerprint only means that projections are rebuilt
    database.close()
    content, copy, dice = small.read_bytes(), tmp_path / "copy.db", random.Random(32)
    found = 0
    used = [at for at in range(len(content)) if content[at]]  # most of a small database is empty space
    for _ in range(600):
        bit = dice.choice(used) * 8 + dice.randrange(8)
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        copy.write_bytes(flipped)
        try:
            report = verify(copy)
        except EngineError:
            found += 1
            continue
        if report.problems:
            found += 1
            continue
        with sqlite3.connect(copy) as damaged:
            assert dump(damaged, *sound) == sound, f"bit {bit}"
        damaged.close()
    assert found > 200


@pytest.mark.parametrize("seq", range(1, 10))
def test_a_removed_row_is_named(small: Path, unguarded: sqlite3.Connection, seq: int) -> None:
    unguarded.execute("DELETE FROM events WHERE seq = ?", (seq,))
    found = problems(small)
    assert any(place == seq for place, _ in found)
    if seq == 9:
        assert any("ahead of the log" in what for _, what in found)
    else:
        assert (seq, f"event {seq} is missing") in found


def test_a_cut_tail_is_seen_by_projections_that_are_ahead(small: Path, unguarded: sqlite3.Connection) -> None:
    unguarded.execute("DELETE FROM events WHERE seq > 6")
    found = problems(small)
    assert {seq for seq, what in found if "ahead of the log, whose tail after event 6 is cut" in what} == {7, 8, 9}


def test_a_cut_tail_with_its_projections_is_seen_by_a_published_head(
    small: Path, unguarded: sqlite3.Connection, open_log: Callable[..., EventLog]
) -> None:
    published = verify(small).head
    assert published.seq == 9
    unguarded.execute("DELETE FROM events WHERE seq > 7")
    log = open_log()
    log.rebuild()
    unguarded.execute("DELETE FROM documents WHERE digest = ?", (CONFIG.digest,))
    unguarded.execute("INSERT INTO documents VALUES (?, ?, ?)", (CONFIG.digest, CONFIG.kind, CONFIG.body))
    assert problems(small) == []
    assert problems(small, published) == [(8, "the log ends at event 7, but 9 was published: its tail is cut")]
    log.append([Change("container", "c", 1, [ContainerStarting("c")])], SMALL)
    log.append([Change("volume", "w", 0, [VolumeCreating("w", 1)])], SMALL)
    assert log.head().seq == 9  # as long as it was, but not the same
    assert problems(small) == []
    assert [seq for seq, _ in problems(small, published)] == [9]
    assert problems(small, log.head()) == []


def test_a_log_rewritten_as_a_whole_is_seen_by_a_published_head(small: Path, unguarded: sqlite3.Connection) -> None:
    published = verify(small).head
    rehash(unguarded, lambda row: row | {"actor": '{"uid":1000}'} if row["seq"] == 5 else row)
    assert problems(small) == []
    assert [seq for seq, _ in problems(small, published)] == [9]


def rehash(database: sqlite3.Connection, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Rewrite the whole log with a sound chain, as root can."""
    names = [name for name, _ in columns(database, "events")]
    previous = chain.GENESIS
    for stored in database.execute("SELECT * FROM events ORDER BY seq").fetchall():
        row = change(dict(zip(names, stored)))
        envelope = {name: row[name] for name in names if name not in ("prev_hash", "hash", "latest_us")}
        row |= {"prev_hash": previous, "hash": chain.row_hash(previous, chain.envelope(**envelope))}
        previous = row["hash"]
        assigned = ", ".join(f'"{name}" = :{name}' for name in names)
        database.execute(f"UPDATE events SET {assigned} WHERE seq = :seq", row)


@pytest.mark.parametrize("data", ['{"name": "v"}', '{"name":"v","name":"v"}', '{"n\\u0061me":"v"}', '{"name":"v"'])
def test_what_is_not_canonical_is_named_even_in_a_sound_chain(
    small: Path, unguarded: sqlite3.Connection, data: str
) -> None:
    rehash(unguarded, lambda row: row | {"data": data} if row["seq"] == 6 else row)
    assert (6, "actor, data or documents are not in canonical form") in problems(small)


def test_an_event_without_a_place_is_named_even_in_a_sound_chain(small: Path, unguarded: sqlite3.Connection) -> None:
    rehash(unguarded, lambda row: row | {"type": "container.paused"} if row["seq"] == 8 else row)
    assert any(seq == 8 and "no place" in what for seq, what in problems(small))


def test_an_inserted_row_is_named(small: Path, unguarded: sqlite3.Connection) -> None:
    names = ", ".join(f'"{name}"' for name, _ in columns(unguarded, "events") if name not in ("seq", "version"))
    unguarded.execute(f"INSERT INTO events (seq, version, {names}) SELECT 10, 3, {names} FROM events WHERE seq = 8")
    assert any(seq == 10 for seq, _ in problems(small))
    unguarded.execute("UPDATE events SET seq = seq + 100 WHERE seq >= 5")  # and in the middle, the others moving up
    unguarded.execute("UPDATE events SET seq = CASE WHEN seq = 110 THEN 5 ELSE seq - 99 END WHERE seq > 100")
    assert [seq for (seq,) in unguarded.execute("SELECT seq FROM events ORDER BY seq")] == list(range(1, 11))
    assert any(seq == 5 for seq, _ in problems(small))


@pytest.mark.parametrize(("one", "other"), [(1, 2), (4, 8), (8, 9)])
def test_reordered_rows_are_named(small: Path, unguarded: sqlite3.Connection, one: int, other: int) -> None:
    for before, after in ((one, 100), (other, one), (100, other)):
        unguarded.execute("UPDATE events SET seq = ? WHERE seq = ?", (after, before))
    assert {one, other} <= {seq for seq, _ in problems(small)}


def test_documents_that_come_and_go_are_named(small: Path, unguarded: sqlite3.Connection) -> None:
    unguarded.execute("DELETE FROM documents WHERE kind = 'cfg'")
    assert problems(small) == [(7, f"document {CONFIG.digest} (cfg) is missing")]
    unguarded.execute("INSERT INTO documents VALUES (?, 'cfg', ?)", (CONFIG.digest, CONFIG.body.decode()))
    assert [seq for seq, _ in problems(small)] == [7]  # text where bytes belong
    stranger = Document("cfg", b"stranger")
    unguarded.execute("INSERT INTO documents VALUES (?, ?, ?)", (stranger.digest, "cfg", stranger.body))
    assert any(stranger.digest in what and "named by no event" in what for _, what in problems(small))


def test_rows_of_projections_that_come_and_go_are_named(small: Path, unguarded: sqlite3.Connection) -> None:
    tables = [name for (name,) in unguarded.execute(TABLES) if name.endswith(("current", "history", "names", "links"))]
    for table in tables:
        for row in unguarded.execute(f"SELECT * FROM {table}").fetchall():
            where = " AND ".join(f"{name} IS ?" for name, _ in columns(unguarded, table))
            unguarded.execute(f"DELETE FROM {table} WHERE {where}", row)
            assert any(table in what and "is missing" in what for _, what in problems(small))
            unguarded.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    assert problems(small) == []
    for table in tables:
        row = [9 if kind == "INTEGER" else "new" for _, kind in columns(unguarded, table)]
        row[0] = 5 if table.endswith("history") and table != "volume_history" else row[0]
        unguarded.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
        assert any(table in what and "follows from no event" in what for _, what in problems(small))
        unguarded.execute(f"DELETE FROM {table} WHERE {columns(unguarded, table)[0][0]} = ?", row[:1])
    assert problems(small) == []


@pytest.mark.parametrize("began", ["x", b"x", 2.5, -1])
def test_a_row_that_began_nowhere_is_named(small: Path, unguarded: sqlite3.Connection, began: Any) -> None:
    for table, seq in (("names", 7), ("links", 9)):
        unguarded.execute(f"UPDATE {table} SET valid_from = ? WHERE valid_from = ?", (began, seq))
    found = [what for _, what in problems(small)]
    assert len(found) == 2 * 2, "rows that are missing, and rows too many"
    assert any(f"{began} of names follows from no event" in what for what in found)


def test_the_guards_refuse_and_are_missed(small: Path, database: sqlite3.Connection) -> None:
    for statement in (
        "UPDATE events SET data = data", "UPDATE events SET latest_us = 0", "DELETE FROM events WHERE seq = 9",
        "REPLACE INTO events SELECT * FROM events", "UPDATE documents SET body = x'00'", "DELETE FROM documents",
        "UPDATE documents SET kind = 'x'", "UPDATE documents SET digest = 'x', body = NULL",
    ):  # fmt: skip
        database.execute("PRAGMA recursive_triggers=ON")
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            database.execute(statement)
    database.execute("DROP TRIGGER events_no_delete")
    assert [problem.what for problem in verify(small).problems] == [
        "trigger 'events_no_delete' is missing: the log could be changed unnoticed"
    ]
    database.execute("CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT 1; END")
    assert [problem.what for problem in verify(small).problems] == ["trigger 'events_no_delete' has been changed"]


def test_a_guard_of_somebody_else_is_named(small: Path, database: sqlite3.Connection) -> None:
    database.execute("CREATE TRIGGER forget AFTER INSERT ON events BEGIN DELETE FROM names; END")
    assert [problem.what for problem in verify(small).problems] == ["trigger 'forget' is not this engine's"]


def test_as_a_program(small: Path, unguarded: sqlite3.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in TRIGGERS.items():
        unguarded.execute(text)
    head = verify(small).head
    assert main([str(small), f"{head.seq}:{head.hash}"]) == 0
    assert capsys.readouterr().out == f"9 events, head 9:{head.hash}, 0 problems\n"
    assert main([str(small), "9:" + "0" * 64]) == 1
    assert capsys.readouterr().out.startswith(f"event 9: the hash is {head.hash}, but 0000")
    assert main([str(small.parent / "absent.db")]) == 2
    assert "cannot verify the event log" in capsys.readouterr().err


def test_other_processes_find_what_one_thread_finds(small: Path, unguarded: sqlite3.Connection) -> None:
    published = Head(9, "0" * 64)
    for damage in (
        "SELECT 1",
        "UPDATE events SET data = replace(data, 'x', 'y') WHERE seq = 2",
        "DELETE FROM names",
        "UPDATE documents SET body = x'00'",
        "DELETE FROM events WHERE seq = 3",
    ):
        unguarded.execute(damage)
        found = verify_apart(small, published)
        assert found == verify(small, published, verification.parts_here()) and found.problems


def test_the_log_only_is_all_but_the_tables_that_follow_from_it(small: Path, unguarded: sqlite3.Connection) -> None:
    unguarded.execute("DELETE FROM names")
    assert problems(small)
    for parts in (1, 3):
        assert not problems(small, None, parts, log_only=True)
    unguarded.execute("DELETE FROM events WHERE seq = 9")
    published = Head(9, "0" * 64)
    for damage, seq in (
        ("SELECT 1", 9), ("UPDATE documents SET body = x'00'", 3), ("UPDATE events SET time_us = 1 WHERE seq = 2", 2),
    ):  # fmt: skip
        unguarded.execute(damage)
        found = verify(small, published, log_only=True)
        assert seq in [problem.seq for problem in found.problems]
        assert found == verify_apart(small, published, log_only=True)


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_a_sound_log_is_sound_in_stretches_too(open_log: Callable[..., EventLog], path: Path, parts: int) -> None:
    log, lives = open_log(), Lives(f"stretches {parts}")
    for _ in range(8):
        while lives.step(log) < 2:
            pass
        assert verify(path, None, parts) == Report(log.head().seq, log.head(), [])
    assert verify(path, Head(3, "0" * 64), parts).problems == verify(path, Head(3, "0" * 64)).problems != []


def test_whatever_is_found_at_once_is_found_in_stretches(
    open_log: Callable[..., EventLog], path: Path, database: sqlite3.Connection
) -> None:
    """Also where the damage is to a row that outlasts its stretch, or to one with which the next stretch begins."""
    log, lives = open_log(), Lives("damage")
    while log.head().seq < 60:
        lives.step(log)
    log.close()
    for name in TRIGGERS:
        database.execute(f"DROP TRIGGER {name}")
    sound, dice = problems(path), random.Random(7)
    tables = {
        name: ["valid_from", "valid_to"] for name in ("names", "links", *(f"{noun}_history" for noun in lives.ids))
    } | {"events": ["seq"]}  # fmt: skip
    damaged = 0
    for table, changed in tables.items():
        for row in dice.sample(rows := database.execute(f"SELECT * FROM {table}").fetchall(), min(len(rows), 2)):
            assigned = dict(zip([name for name, _ in columns(database, table)], row))
            where = " AND ".join(f"{name} IS :{name}" for name in assigned)
            for column in changed:
                database.execute("BEGIN")
                value = dice.choice((dice.randint(1, 60), 0, -5, 10**6, "text", None if column == "valid_to" else 61))
                try:
                    database.execute(f"UPDATE {table} SET {column} = :new WHERE {where}", {**assigned, "new": value})
                except sqlite3.IntegrityError:
                    database.execute("ROLLBACK")
                    continue
                database.execute("COMMIT")
                if problems(path) != sound:
                    assert problems(path, None, 3) != sound, (table, assigned, value)
                    damaged += 1
                database.execute(f"DELETE FROM {table} WHERE {where}", assigned | {column: value})
                database.execute(f"INSERT INTO {table} VALUES ({', '.join(f':{name}' for name in assigned)})", assigned)
                assert problems(path) == sound
    assert damaged > 15


def test_a_log_of_some_size_is_verified_by_another_process(
    open_log: Callable[..., EventLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(boot_id="b")
    fill(log)
    started: list[str] = []
    run = subprocess.run

    def noted(command: list[str], **options: Any) -> Any:
        started.append(command[3])
        return run(command, **options)

    monkeypatch.setattr(verification.subprocess, "run", noted)
    assert log.verify() == Report(9, log.head(), []) and not started
    monkeypatch.setattr(log_module, "SMALL_LOG", 9)
    assert log.verify() == Report(9, log.head(), [])
    assert started == ["engine.eventlog.verification"]


def test_a_log_that_another_process_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match='cannot verify the event log ".*absent.db"'):
        verify_apart(tmp_path / "absent.db")


def test_a_redacted_document_is_gone_from_the_disk_and_the_chain_still_verifies(
    open_log: Callable[..., EventLog], path: Path
) -> None:
    log = open_log()
    fill(log)
    secret = Document("cfg", b"s3cr3t" * 2000)
    log.append([Change("volume", "w", 0, [VolumeCreating("w", 1)])], SMALL, [secret])
    on_disk = [path, path.with_name(path.name + "-wal")]
    assert any(b"s3cr3t" in file.read_bytes() for file in on_disk)
    assert log.document(secret.digest) == secret.body
    recorded = log.redact(secret.digest, "a password was in it", SMALL)
    assert (recorded.type, recorded.stream) == ("document.redacted", f"document/{secret.digest}")
    assert recorded.data == {"document_digest": secret.digest, "reason": "a password was in it"}
    assert not any(b"s3cr3t" in file.read_bytes() for file in on_disk)
    with pytest.raises(EngineError, match="has been redacted"):
        log.document(secret.digest)
    with pytest.raises(EngineError, match="no document"):
        log.redact("sha256:unknown", "asked for", SMALL)
    assert log.head().seq == recorded.seq, "what is not done is not on record"
    report = log.verify()
    assert report.problems == [] and report.redacted == [secret.digest]
    log.append([Change("volume", "x", 0, [VolumeCreating("x", 1)])], SMALL, [secret])  # it may come again
    assert log.document(secret.digest) == secret.body
    assert log.verify().redacted == []
    assert log.redact(secret.digest, "again", SMALL).version == 2
    assert log.verify().problems == [] and log.verify().redacted == [secret.digest]


def test_what_was_redacted_leaves_the_disk_as_soon_as_nobody_reads_an_older_state(
    open_log: Callable[..., EventLog], path: Path
) -> None:
    """A verification reads for minutes, and what it sees must stay in the write-ahead log until then."""
    log = open_log()
    fill(log)
    secret = Document("cfg", b"s3cr3t" * 2000)
    log.append([Change("volume", "w", 0, [VolumeCreating("w", 1)])], SMALL, [secret])
    on_disk = [path, path.with_name(path.name + "-wal")]
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        log.redact(secret.digest, "a password was in it", SMALL)
        log.append([Change("volume", "x", 0, [VolumeCreating("x", 1)])], SMALL)
        assert any(b"s3cr3t" in file.read_bytes() for file in on_disk)
    log.append([Change("volume", "y", 0, [VolumeCreating("y", 1)])], SMALL)
    assert not any(b"s3cr3t" in file.read_bytes() for file in on_disk)


@pytest.mark.parametrize("arguments", [[], ["docket.db", "twelve"], ["docket.db", "1:2", "3"]])
def test_how_the_program_is_called_is_told_in_a_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("usage: ") and said.err.count("\n") == 1


def test_a_document_that_was_taken_out_behind_the_logs_back_is_named(
    small: Path, unguarded: sqlite3.Connection
) -> None:
    unguarded.execute("UPDATE documents SET body = NULL WHERE digest = ?", (CONFIG.digest,))
    assert [what for _, what in problems(small)] == [
        f"document {CONFIG.digest} (cfg) was taken out, and no event says so"
    ]


def test_many_problems_are_counted(open_log: Callable[..., EventLog], path: Path, database: sqlite3.Connection) -> None:
    log, lives = open_log(), Lives(1)
    while log.head().seq < 200:
        lives.step(log)
    database.execute("DROP TRIGGER events_no_update")
    database.execute("UPDATE events SET correlation = 'other'")
    found = log.verify().problems
    assert len(found) == MOST_PROBLEMS + 1 and found[-1].what.endswith("more problems")


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "docket.db").write_bytes(b"not a database at all" * 500)
    with pytest.raises(EngineError, match="cannot verify the event log .*not a database"):
        verify(tmp_path / "docket.db")
    with pytest.raises(EngineError, match="cannot verify the event log"):
        verify(tmp_path / "absent.db")


def test_a_copy_verifies_while_the_log_goes_on(log: EventLog, path: Path, tmp_path: Path) -> None:
    lives = Lives(4)
    for _ in range(50):
        lives.step(log)
        assert log.verify() == Report(log.head().seq, log.head(), [])
    log.close()
    assert verify(Path(shutil.copy(path, tmp_path / "backup.db"))).problems == []


def test_an_object_that_is_gone_leaves_nothing_unverified(log: EventLog) -> None:
    fill(log)
    log.append([Change("container", "d", 0, [
        ContainerCreated("d", "db", "i", "b", "c", ["x"], 1), ContainerRemoving("d"), ContainerRemoved("d"),
    ])], CONTEXT)  # fmt: skip
    assert log.verify().problems == []
