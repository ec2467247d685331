"""A docket-runtime's journal comes into the log, and what was changed afterwards is seen."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import pytest

from engine.eventlog.log import Context, EventLog
from engine.kernel.digest import sha256_hex
from engine.runtime import command_journal
from engine.runtime.command_journal import Deed
from engine.services import runtime_journals
from engine.services.audit import Audit
from engine.services.recorder import Recorder
from engine.services.runtime_journals import RuntimeJournals
from support.fresh_log import place_empty_log


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Any]:
    place_empty_log(tmp_path)
    log = EventLog(tmp_path / "docket.db", clock=lambda: time.time_ns() // 1000, boot_id="test")
    yield SimpleNamespace(log=log, recorder=Recorder(log))
    log.close()


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def journals(core: Any, root: str) -> RuntimeJournals:
    return RuntimeJournals(core, [root], Context({"door": "journal"}, "test", "test"))


def do(root: str, verb: str) -> None:
    with Deed(root, verb, "one", {}) as deed:
        deed.facts = {"pid": 7}


def events(core: Any) -> list[Any]:
    return list(core.log.events())


def test_what_is_new_is_taken_once(core: Any, root: str, journals: RuntimeJournals) -> None:
    journals.take(root)
    assert events(core) == [], "there is no journal yet"
    do(root, "create")
    journals.take(root)
    journals.take(root)
    do(root, "start")
    journals.take(root)
    assert [(one.type, one.data["first"], one.data["last"]) for one in events(core)] == [
        ("runtime.journal_taken", 1, 2), ("runtime.journal_taken", 3, 4),
    ]  # fmt: skip
    said = [(line["verb"], line["phase"]) for one in events(core) for line in one.data["records"]]
    assert said == [("create", "intent"), ("create", "done"), ("start", "intent"), ("start", "done")]
    assert not core.log.verify().problems
    assert Audit(core).verify_runtime(root) | {"head": ""} == {
        "root": root, "lines": 4, "head": "", "taken": 4, "problem": "",
    }  # fmt: skip


def test_many_lines_are_several_events(
    core: Any, root: str, journals: RuntimeJournals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_journals, "_MOST_RECORDS", 3)
    for _ in range(4):
        do(root, "kill")
    journals.take(root)
    assert [(one.data["first"], one.data["last"]) for one in events(core)] == [(1, 3), (4, 6), (7, 8)]


@pytest.mark.parametrize("how", ["changed", "rewritten", "cut", "forged"])
def test_a_journal_that_was_changed(core: Any, root: str, journals: RuntimeJournals, how: str) -> None:
    do(root, "create")
    do(root, "delete")
    journals.take(root)
    path = Path(root, command_journal.NAME)
    whole = path.read_bytes()
    if how == "changed":
        path.write_bytes(whole.replace(b"delete", b"create"))
        do(root, "start")
    elif how == "rewritten":  # a chain that is whole in itself, and another one
        path.unlink()
        for verb in ("create", "kill", "kill"):
            do(root, verb)
    elif how == "cut":
        path.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    else:
        path.write_bytes(whole + b'{"seq":5}\n')
    journals.take(root)
    journals.take(root)
    broken = [one for one in events(core) if one.type == "runtime.journal_broken"]
    assert len(broken) == 1 and broken[0].data["after"] == 4
    assert Audit(core).verify_runtime(root)["problem"]
    if how == "changed":
        do(root, "start")
    journals.take(root)
    assert events(core)[-1].type == "runtime.journal_broken", "what comes after is not taken"


def test_another_boot_begins_anew(
    core: Any, root: str, journals: RuntimeJournals, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(root, "create")
    journals.take(root)
    Path(root, command_journal.NAME).unlink()
    monkeypatch.setattr(runtime_journals, "boot_id", lambda: "another")
    do(root, "run")
    journals.take(root)
    assert [one.data["first"] for one in events(core)] == [1, 1]
    state = core.log.get("runtime", sha256_hex(root.encode()))
    assert state.status == "followed" and state.journal_boot == "another"
