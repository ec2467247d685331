"""Verification: is the log what was once committed, and do the projections follow from it?

Read with connections of its own, from the stored bytes up: the file as a whole (``file_check``: guards, versions,
documents), each row's types, canonical form and place in the chain (``chain_check``), and what follows from it
(``projection_check``: each projected row against a replay). The replay takes most of the time, and can be left out:
then the log is verified, and not what is answered out of it. What this can't see is a log rewritten as a whole: for
that, publish the head and verify against it.

A log of some size is verified by several processes side by side, one for each of its stretches and one for the file:
one processor is not enough for it, and the daemon's other threads would wait for this one meanwhile. They are this
module as a program, which serves by itself, too, for a log whose engine does not start: ``python -m
engine.eventlog.verification [--log-only] PATH [SEQ:HASH]`` prints the head and one line a problem, and exits with 1 if
there are any.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Callable, TypeVar

from engine.domain.errors import EngineError
from engine.eventlog import statements
from engine.eventlog.chain_check import ChainCheck
from engine.eventlog.connections import connect
from engine.eventlog.file_check import check_file
from engine.eventlog.findings import MOST_PROBLEMS, Findings
from engine.eventlog.projection_check import ProjectionCheck
from engine.eventlog.records import Head, Problem, Report
from engine.eventlog.side_by_side import side_by_side
from engine.eventlog.stretches import Stretch, stretches

SMALL_LOG = 5_000
"""So few events are verified sooner than other processes have started."""

MOST_STRETCHES = 4
"""Each begins with all that stands at its moment, so more of them gain little."""

BATCH_ROWS = 32
"""So many go through one check, and then through the other: what both of them need at once is more than the fast caches
of a processor hold, and so are more rows than this. In turns, row by row, they take a sixth longer."""

_AS_JSON, _LOG_ONLY = "--json", "--log-only"


def verify(path: Path, against: Head | None = None, parts: int = 1, *, log_only: bool = False) -> Report:
    """Check everything, in this thread, the log in so many stretches. Raises EngineError where the database can't be
    read at all."""

    def work(connection: sqlite3.Connection) -> list[Findings]:
        return [work(connection) for work in _works(_last(connection), parts, against, log_only)]

    return _joined(_in_a_snapshot(path, work))


def verify_apart(path: Path, against: Head | None = None, *, log_only: bool = False) -> Report:
    """The same, by other processes. Raises EngineError also where one of them fails."""
    above = Path(__file__).resolve().parents[2]
    path_of_modules = os.pathsep.join(filter(None, [str(above), os.environ.get("PYTHONPATH")]))
    published = [f"{against.seq}:{against.hash}"] if against else []
    flags = [_AS_JSON, _LOG_ONLY] if log_only else [_AS_JSON]
    done = subprocess.run(  # another interpreter, and not a fork: the daemon has threads, and has the database open
        [sys.executable, "-P", "-m", "engine.eventlog.verification", *flags, str(path), *published],
        stdin=subprocess.DEVNULL, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": path_of_modules},
    )  # fmt: skip
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise EngineError(lines[-1] if lines else f"the verification ended with status {done.returncode}")
    return _decoded(done.stdout)


def _verify_side_by_side(path: Path, against: Head | None, log_only: bool) -> Report:
    """The same, by forks of this process. Their snapshots are their own: what is appended meanwhile belongs to the last
    stretch, and changes no row that another one looks at."""
    works = _works(_in_a_snapshot(path, _last), parts_here(), against, log_only)
    return _joined(side_by_side([partial(_in_a_snapshot, path, work) for work in works]))


def _works(
    last: int, parts: int, against: Head | None, log_only: bool
) -> list[Callable[[sqlite3.Connection], Findings]]:
    """What there is to do, in any order or at once. The last one comes to know the head."""
    check = partial(_check_stretch, against=against, log_only=log_only)
    return [check_file, *(partial(check, stretch=stretch) for stretch in stretches(last, parts))]


def _last(connection: sqlite3.Connection) -> int:
    found = connection.execute(statements.LAST_EVENT).fetchone()
    return found[0] if found else 0


def parts_here() -> int:
    """In how many stretches a log is verified on this machine: one a processor."""
    return min(len(os.sched_getaffinity(0)), MOST_STRETCHES)


def _check_stretch(
    connection: sqlite3.Connection, stretch: Stretch, against: Head | None, log_only: bool
) -> Findings:
    findings, beside = Findings(), Findings()
    chain = ChainCheck(connection, stretch, findings, against)
    projections = None if log_only else ProjectionCheck(connection, stretch, beside)
    rows = connection.execute(statements.EVENTS_OF_STRETCH, stretch._asdict())
    while batch := rows.fetchmany(BATCH_ROWS):
        data = [chain.check(row) for row in batch]
        if projections is not None:
            for (seq, stream, version, type_, schema, *_), values in zip(batch, data):
                if values is not None:
                    projections.fold(seq, stream, version, type_, schema, values)
    chain.finish()
    if projections is not None:
        projections.finish()
    findings.add(beside)
    return findings


T = TypeVar("T")


def _in_a_snapshot(path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    """What ``work`` answers with. Raises EngineError where the database can't be read."""
    try:
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
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter where the schema's own text is damaged
        raise EngineError(f'cannot verify the event log "{path}": {error}') from error


def _joined(parts: list[Findings]) -> Report:
    """One report, its problems in the order of the events that they are about. The last part knows the head."""
    found = sorted((problem for part in parts for problem in part.problems), key=lambda problem: _place(problem.seq))
    more = sum(part.more for part in parts) + len(found[MOST_PROBLEMS:])
    problems = found[:MOST_PROBLEMS] + ([Problem(0, f"{more} more problems")] if more else [])
    redacted = [digest for part in parts for digest in part.redacted]
    return Report(sum(part.events for part in parts), Head(parts[-1].seq, parts[-1].hash), problems, redacted)


def _place(seq: object) -> int:
    return seq if isinstance(seq, int) else 0  # a damaged row has anything there


def _decoded(answer: bytes) -> Report:
    values = json.loads(answer)
    problems = [Problem(**problem) for problem in values["problems"]]
    return Report(**{**values, "head": Head(**values["head"]), "problems": problems})


def main(arguments: list[str]) -> int:
    """The program. Answers with its exit status: 0 sound, 1 not, 2 it could not be read. Where JSON is asked for, it
    is the whole report, and 0 means that there is one."""
    flags = {argument for argument in arguments if argument in (_AS_JSON, _LOG_ONLY)}
    words = [argument for argument in arguments if argument not in flags]
    published = re.fullmatch("([0-9]{1,18}):([0-9a-f]{64})", words[1]) if len(words) == 2 else None
    if not 1 <= len(words) <= 2 or len(words) == 2 and published is None:
        print(f"usage: python -m engine.eventlog.verification [{_LOG_ONLY}] PATH [SEQ:HASH]", file=sys.stderr)
        return 2
    against = Head(int(published[1]), published[2]) if published else None
    try:
        report = _verify_side_by_side(Path(words[0]), against, _LOG_ONLY in flags)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 2
    if _AS_JSON in flags:
        print(json.dumps(asdict(report)))
        return 0
    for problem in report.problems:
        print(f"event {problem.seq}: {problem.what}" if problem.seq else problem.what)
    print(f"{report.events} events, head {report.head.seq}:{report.head.hash}, {len(report.problems)} problems")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
