"""However many ask at once, few descriptors are open, and all are answered."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.eventlog.connections import MOST_READERS, Readers, connect

SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most) SELECT count(*) FROM n"


def opened(path: Path) -> int:
    """Descriptors of this file."""
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:  # listdir's own
            continue
    return links.count(str(path))


def test_few_connections_answer_many(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    writer = connect(path, "rw")
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE t (i)")  # it holds the lock for which closed descriptors would wait
    readers = Readers(path)
    with ThreadPoolExecutor(4 * MOST_READERS) as pool:
        answers = list(pool.map(lambda _: readers.rows(SLOW, {"most": 30_000}), range(4 * MOST_READERS)))
    assert answers == [[(30_000,)]] * (4 * MOST_READERS)
    assert opened(path) <= MOST_READERS + 1
    readers.close()
    writer.close()
    assert opened(path) == 0
