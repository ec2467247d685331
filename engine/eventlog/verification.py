"""Verification: is the log what was once committed, and do the projections follow from it?

Read with connections of its own, from the stored bytes up, in two halves that need nothing of each other: the chain
(``chain_check``: each row's types, canonical form, place and version; documents; guards) and what follows from it
(``projection_check``: each projected row against a replay). What this can't see is a log rewritten as a whole: for
that, publish the head and verify against it.

A log of some size is verified by two processes, side by side: one processor is not enough for it, and the daemon's
other threads would wait for this one meanwhile. They are this module as a program, which serves by itself, too, for a
log whose engine does not start: ``python -m engine.eventlog.verification PATH [SEQ:HASH]`` prints the head and one
line a problem, and exits with 1 if there are any.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Callable, Sequence

from engine.domain.errors import EngineError
from engine.eventlog.chain_check import ChainCheck
from engine.eventlog.connections import connect
from engine.eventlog.findings import MOST_PROBLEMS, Findings
from engine.eventlog.projection_check import ProjectionCheck
from engine.eventlog.records import Head, Problem, Report

HALVES = ("projections", "chain")
"""In the order in which they begin: so the chain's snapshot holds every event that the replay folds."""

_HALF = "--half="


def verify(path: Path, against: Head | None = None) -> Report:
    """Check everything, in this thread. Raises EngineError where the database can't be read at all."""
    return _joined(_check(path, HALVES, against))


def verify_apart(path: Path, against: Head | None = None) -> Report:
    """The same, by a process for each half. Raises EngineError also where one of them fails."""
    processes = [_start(path, half, against) for half in HALVES]
    answers = [process.communicate() for process in processes]
    for process, (_, said) in zip(processes, answers):
        if process.returncode != 0:
            lines = said.decode(errors="replace").strip().splitlines()
            raise EngineError(lines[-1] if lines else f"the verification ended with status {process.returncode}")
    return _joined([_decoded(answer) for answer, _ in answers])


def _start(path: Path, half: str, against: Head | None) -> subprocess.Popen[bytes]:
    """Another interpreter, and not a fork: the daemon has threads, and SQLite's locks belong to a process."""
    published = [f"{against.seq}:{against.hash}"] if against else []
    above = Path(__file__).resolve().parents[2]
    path_of_modules = os.pathsep.join(filter(None, [str(above), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.eventlog.verification", _HALF + half, str(path), *published],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path_of_modules},
    )  # fmt: skip


def _check(path: Path, halves: Sequence[str], against: Head | None) -> list[Findings]:
    """The findings of some halves, in one snapshot."""

    def work(connection: sqlite3.Connection) -> list[Findings]:
        checks = {"projections": ProjectionCheck(connection), "chain": ChainCheck(connection, against)}
        return [checks[half].run() for half in halves]

    try:
        return _in_a_snapshot(path, work)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter where the schema's own text is damaged
        raise EngineError(f'cannot verify the event log "{path}": {error}') from error


def _in_a_snapshot(path: Path, work: Callable[[sqlite3.Connection], list[Findings]]) -> list[Findings]:
    with closing(connect(path, "ro")) as connection:
        connection.execute("BEGIN")
        try:
            return work(connection)
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error):
                raise
        # damaged text is to be found and named; this way of reading is slower
        connection.text_factory = lambda stored: stored.decode("utf-8", "surrogateescape")
        return work(connection)


def _joined(halves: list[Findings]) -> Report:
    """One report, its problems in the order of the events that they are about."""
    projections, chain = halves
    found = sorted([*chain.problems, *projections.problems], key=lambda problem: _place(problem.seq))
    more = chain.more + projections.more + len(found[MOST_PROBLEMS:])
    problems = found[:MOST_PROBLEMS] + ([Problem(0, f"{more} more problems")] if more else [])
    return Report(chain.events, Head(chain.seq, chain.hash), problems, chain.redacted)


def _place(seq: object) -> int:
    return seq if isinstance(seq, int) else 0  # a damaged row has anything there


def _decoded(answer: bytes) -> Findings:
    values = json.loads(answer)
    return Findings(**{**values, "problems": [Problem(**problem) for problem in values["problems"]]})


def main(arguments: list[str]) -> int:
    """The program. Answers with its exit status: 0 sound, 1 not, 2 it could not be read. For a half of it the findings
    go out as JSON, and 0 means that it could be read."""
    half = arguments.pop(0).removeprefix(_HALF) if arguments and arguments[0].startswith(_HALF) else ""
    path, *published = arguments
    seq, _, hash_ = published[0].partition(":") if published else ("", "", "")
    against = Head(int(seq), hash_) if published else None
    try:
        if half:
            print(json.dumps(asdict(*_check(Path(path), [half], against))))
            return 0
        report = verify(Path(path), against)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 2
    for problem in report.problems:
        print(f"event {problem.seq}: {problem.what}" if problem.seq else problem.what)
    print(f"{report.events} events, head {report.head.seq}:{report.head.hash}, {len(report.problems)} problems")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
