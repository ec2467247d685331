"""A full disk, a commit that fails, a process that dies, a file that is torn: nothing half-applied, nothing lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

import engine
from engine.domain.errors import EngineError
from engine.domain.volume import VolumeCreated, VolumeCreating
from engine.eventlog import projections
from engine.eventlog.log import Change, Document, EventLog
from engine.kernel import steps
from support.forked import in_child
from support.fresh_log import place_empty_log
from support.machine import mount, private_mounts

from lives import CONTEXT, Lives
from rows import dump


def volume(name: str) -> Change:
    return Change("volume", name, 0, [VolumeCreating(name, 1)])


def arm(monkeypatch: pytest.MonkeyPatch, terms: str) -> None:
    """Arm the failpoint of the commit in this process."""
    monkeypatch.setitem(steps._FAILPOINTS, "log.commit", steps._Failpoint(terms))


def test_a_commit_that_fails_is_everybodys_error_and_nobodys_event(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append([volume("before")], CONTEXT)
    head, outcomes = log.head(), []
    subscription = log.subscribe()
    arm(monkeypatch, "8*error(ENOSPC)")

    def append(number: int) -> None:
        try:
            outcomes.append(log.append([volume(f"v{number}")], CONTEXT, [Document("k", b"%d" % number)]))
        except EngineError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [outcome for outcome in outcomes if isinstance(outcome, EngineError)]
    assert failed and len({id(error) for error in failed}) == len(failed)  # each its own, with its own traceback
    for error in failed:
        assert "log.commit" in str(error) and "No space left on device" in str(error) and "docket.db" in str(error)
        assert isinstance(error.__cause__, OSError) and error.__cause__.step == "log.commit"
    recorded = len(outcomes) - len(failed)
    assert log.head().seq == head.seq + recorded
    steps._FAILPOINTS.pop("log.commit")
    (row,) = log.append([volume("after")], CONTEXT)
    assert row.seq == head.seq + recorded + 1
    assert log.verify().problems == []
    assert [row.seq for row in subscription.wait(0)] == list(range(head.seq + 1, row.seq + 1))


def test_a_rebuild_that_fails_leaves_the_projections_as_they_were(
    log: EventLog, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Lives(8)
    for _ in range(60):
        lives.step(log)
    before = dump(database)
    arm(monkeypatch, "error(EIO)")
    with pytest.raises(EngineError, match="log.commit: cannot write"):
        log.rebuild()
    assert dump(database) == before
    steps._FAILPOINTS.pop("log.commit")
    lives.step(log)
    assert log.verify().problems == []


@pytest.mark.kernel
@pytest.mark.requires("root", "namespaces", "mounts")
def test_a_full_disk_is_an_error_and_the_log_stays_usable(tmp_path: Path) -> None:
    def fill_the_disk() -> dict[str, Any]:
        private_mounts()
        mount("none", str(tmp_path), "tmpfs", 0, "size=1m,mode=700")
        place_empty_log(tmp_path)
        path = tmp_path / "docket.db"
        log = EventLog(path, clock=lambda: 1, boot_id="b")
        ballast = tmp_path / "ballast"
        ballast.write_bytes(bytes(300_000))
        errors: list[str] = []
        done: list[str] = []

        def append(thread: int) -> None:
            for number in range(200):
                name = f"{thread}-{number}"
                try:
                    log.append([volume(name)], CONTEXT, [Document("k", name.encode() * 500)])
                    done.append(name)
                except EngineError as error:
                    errors.append(str(error))
                    return

        threads = [threading.Thread(target=append, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        full = {"seq": log.head().seq, "problems": [str(p) for p in log.verify().problems]}
        ballast.unlink()
        log.append([volume("after")], CONTEXT)
        stored = {state.id for state in log.all("volume")}
        log.close()
        log = EventLog(path, clock=lambda: 1, boot_id="b")
        lost = sorted({*done, "after"} ^ stored | {*done, "after"} ^ {state.id for state in log.all("volume")})
        problems = full["problems"] + [str(p) for p in log.verify().problems]
        log.close()
        return {"errors": errors, "done": len(done), "seq": full["seq"], "lost": lost, "problems": problems}

    outcome = in_child(fill_the_disk)
    assert len(outcome["errors"]) == 4 and outcome["done"] == outcome["seq"] > 0
    assert all("full" in error and "nothing was recorded" in error for error in outcome["errors"]), outcome["errors"]
    assert outcome["lost"] == outcome["problems"] == []


WRITER = """
import os, sys
from pathlib import Path
from engine.eventlog.log import Change, Context, Document, EventLog
from engine.domain.volume import VolumeCreated, VolumeCreating
log = EventLog(Path(sys.argv[1]), clock=lambda: 1, boot_id="b")
first = log.head().seq
for number in range(first, first + 100000):
    name = f"v{number}"
    change = Change("volume", name, 0, [VolumeCreating(name, 1), VolumeCreated(name)])
    log.append([change], Context({}, "r", "r"), [Document("k", name.encode())])
    os.write(1, (name + "\\n").encode())
"""


def killed_writer(path: Path, failpoints: str, after_lines: int | None) -> list[str]:
    """Run a writer until it is killed (by a failpoint, or from here); the names that it has acknowledged."""
    folder = str(Path(engine.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": folder, "DOCKET_FAILPOINTS": failpoints},
    )  # fmt: skip
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line.strip())
        if after_lines is not None and len(said) == after_lines:
            process.kill()
    assert process.wait() == -signal.SIGKILL
    return said


@pytest.mark.parametrize("round_", range(3))
def test_what_was_acknowledged_survives_a_kill(path: Path, open_log: Callable[..., EventLog], round_: int) -> None:
    acknowledged: list[str] = []
    for after in (1, 17 + 40 * round_):
        acknowledged += killed_writer(path, "", after)
        log = open_log()
        present = {state.id for state in log.all("volume")}
        assert set(acknowledged) <= present and len(present) <= len(acknowledged) + 2  # unheard: one for each kill
        assert {state.status for state in log.all("volume")} == {"present"}  # both events of an append, or none
        assert log.verify().problems == []
        log.close()
        acknowledged = sorted(present)


def test_killed_at_the_commit_nothing_of_it_is_there(path: Path, open_log: Callable[..., EventLog]) -> None:
    acknowledged = killed_writer(path, "log.commit=20*off->kill", None)
    log = open_log()
    assert sorted(state.id for state in log.all("volume")) == sorted(acknowledged) and len(acknowledged) in (19, 20)
    assert log.verify().problems == []


def test_a_torn_tail_of_the_wal_does_not_stop_the_start(
    open_log: Callable[..., EventLog], path: Path, tmp_path: Path
) -> None:
    """After a power cut the WAL may end anywhere, or in garbage: what is whole is kept, the rest never was."""
    log, dice = open_log(), random.Random(6)
    for number in range(30):
        log.append([volume(f"v{number}")], CONTEXT)
    wal = Path(f"{path}-wal").read_bytes()
    whole = {recorded.seq: recorded for recorded in log.events()}
    lengths = set()
    for number in range(60):
        copy = tmp_path / f"copy{number}.db"
        shutil.copy(path, copy)
        cut = dice.randrange(len(wal))
        garbage = dice.randbytes(dice.choice((0, 100, 9000))) if number % 2 else bytes(len(wal) - cut)
        Path(f"{copy}-wal").write_bytes(wal[:cut] + garbage)
        torn = EventLog(copy, clock=lambda: 1, boot_id="b")
        assert torn.verify().problems == []
        rows = list(torn.events())
        assert rows == [whole[seq] for seq in range(1, len(rows) + 1)]
        lengths.add(len(rows))
        torn.append([volume("next")], CONTEXT)
        torn.close()
    assert len(lengths) > 10


def test_projections_of_another_shape_are_rebuilt_at_the_start(
    open_log: Callable[..., EventLog], database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, lives = open_log(), Lives(2)
    for _ in range(40):
        lives.step(log)
    log.close()
    before = dump(database)
    database.execute("UPDATE projections SET fingerprint = 'of an older engine'")
    database.execute("DELETE FROM names")
    database.execute("UPDATE container_history SET state = '{}'")
    open_log().close()
    assert dump(database) == before
    assert before["projections"] == [(projections.FINGERPRINT,)]


def test_a_rebuild_names_the_event_that_has_no_place(log: EventLog, database: Any) -> None:
    log.append([Change("volume", "v", 0, [VolumeCreating("v", 1), VolumeCreated("v")])], CONTEXT)
    database.execute("DROP TRIGGER events_no_update")
    database.execute("UPDATE events SET type = 'volume.removed' WHERE seq = 2")
    with pytest.raises(EngineError, match="event 2 of the log can't be folded: .*: see"):
        log.rebuild()
    database.execute("UPDATE events SET data = 'x' WHERE seq = 2")
    with pytest.raises(EngineError, match="event 2"):
        log.rebuild()
    assert log.get("volume", "v").status == "present"


def test_a_damaged_database_is_one_clear_line(log: EventLog, path: Path) -> None:
    log.append([volume("v")], CONTEXT)
    os.truncate(path, 4096 * 3)
    Path(f"{path}-wal").write_bytes(b"")
    with pytest.raises(EngineError, match=f'event log "{path}"') as damaged:
        for _ in range(3):
            log.all("volume")
            log.append([volume("w")], CONTEXT)
    assert "\n" not in str(damaged.value)
