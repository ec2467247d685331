"""Two hundred clients at once, for as long as you like: no error, and nothing of them stays in the daemon.

    scripts/soak [--seconds 60] [--clients 200]

Half of the clients follow: logs of containers that never stop talking, and events, which each reads on from where its
last connection broke off. The other half create, start, inspect, wait for and remove containers. One more lists the
containers and notes how long that takes, and some of the followers never read. At the end the daemon has the threads,
descriptors and memory that it had, nobody missed an event or a line or saw one twice, and no container is left.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Iterator

from support.connection import UnixConnection
from support.engine import Engine, running_engine
from support.rootfs import write_rootfs
from support.waiting import eventually

TALKERS = 5
RECONNECT_S = 10.0
STUCK = 5
POOL = 32
"""The threads that deliver news of containers (runtime.mailboxes): they stay, each with up to three descriptors of the
log, and a slow machine's first seconds don't need all of them."""
READERS = 64
"""Descriptors of the log that SQLite keeps for the next who asks: as many as asked at one moment (closing one would
drop the locks of the process's others, fcntl(2)), so more rounds don't make them more."""
MOST_GROWTH_KIB = 24 * 1024
"""Caches fill and the allocator keeps what it had at the peak; a leak of what 200 clients ask for is more than this."""


class Soak:
    """What all clients share."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.over = threading.Event()
        self.errors: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.list_s: list[float] = []
        self.seen: list[set[int]] = []
        """The events of each follower, by their sequence numbers."""
        self._lock = threading.Lock()

    def count(self, what: str, amount: int = 1) -> None:
        with self._lock:
            self.done[what] += amount

    def fail(self, what: str) -> None:
        with self._lock:
            self.errors[what] += 1

    def guarded(self, act: Callable[[int], None], number: int) -> None:
        """One client, until all is over. Whatever goes wrong is an error of the engine's."""
        while not self.over.is_set():
            try:
                act(number)
            except Exception as error:  # the point of a soak: to see every one
                self.fail(f"{act.__name__}: {type(error).__name__}: {error}"[:200])
                time.sleep(0.1)

    # --- clients that change something -----------------------------------------------------------------------------

    def life(self, number: int) -> None:
        """One container from its creation to its removal, on one connection."""
        connection = UnixConnection(self.engine.socket, timeout_s=120)
        try:
            body = {"Image": "base", "Cmd": ["sh", "-c", "echo hi"], "HostConfig": {"NetworkMode": "none"}}
            name = json.loads(self.ask(connection, "POST", "/containers/create", 201, body))["Id"]
            self.ask(connection, "POST", f"/containers/{name}/start", 204)
            self.ask(connection, "GET", f"/containers/{name}/json", 200)
            self.ask(connection, "POST", f"/containers/{name}/wait", 200)
            if b"hi\n" not in self.ask(connection, "GET", f"/containers/{name}/logs?stdout=1", 200):
                self.fail("a container's log lacks its only line")
            self.ask(connection, "DELETE", f"/containers/{name}", 204)
            self.count("lives")
        finally:
            connection.close()

    @staticmethod
    def ask(connection: UnixConnection, method: str, path: str, status: int, body: Any = None) -> bytes:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != status:
            raise RuntimeError(f"{method} {path.rpartition('/')[2]}: {response.status} {answer[:120]!r}")
        return answer

    def listing(self, number: int) -> None:
        connection = UnixConnection(self.engine.socket, timeout_s=120)
        try:
            begun = time.monotonic()
            self.ask(connection, "GET", "/containers/json?all=1", 200)
            self.list_s.append(time.monotonic() - begun)
        finally:
            connection.close()
        self.over.wait(0.2)

    # --- clients that follow ---------------------------------------------------------------------------------------

    def follow_logs(self, number: int) -> None:
        """Lines are numbered by who writes them: each must be the next."""
        last = None
        with self.stream(f"/containers/talker{number % TALKERS}/logs?follow=1&stdout=1&tail=1") as lines:
            for line in lines:
                seen = int(line[8:])
                if last is not None and seen != last + 1:
                    self.fail(f"a log jumps by {seen - last - 1} lines")
                last = seen
                self.count("log lines")

    def follow_events(self, number: int) -> None:
        """Every event once, in order, across all connections of this client."""
        since, last, seen = time.time(), 0, set[int]()
        self.seen.append(seen)
        while not self.over.is_set():
            with self.stream(f"/events?since={since:.6f}") as lines:
                for line in lines:
                    event = json.loads(line)
                    seq = int(event["Actor"]["Attributes"]["docket.seq"])
                    if seq < last:
                        if event["timeNano"] / 1e9 > since + 1e-3:
                            self.fail("an event comes after a later one")
                        continue
                    seen.add(seq)
                    last, since = seq, event["timeNano"] // 1000 / 1e6
                    self.count("events")

    def check_nothing_was_missed(self) -> None:
        """What any follower saw, all saw whose first and last event lie around it."""
        everything = set().union(*self.seen)
        for seen in filter(None, self.seen):
            first, last = min(seen), max(seen)
            if missed := {seq for seq in everything if first < seq < last} - seen:
                self.fail(f"a follower missed {len(missed)} events, the first of them {min(missed)}")

    def stuck(self, number: int) -> None:
        """Asks for everything, and never reads."""
        paths = ("/events?since=1", "/containers/talker0/logs?follow=1&stdout=1")
        connection = UnixConnection(self.engine.socket, timeout_s=30)
        try:
            connection.request("GET", paths[number % 2])
            self.over.wait()
        finally:
            connection.close()

    def stream(self, path: str) -> Lines:
        return Lines(self, path)


class Lines:
    """An answer that doesn't end, read line by line for RECONNECT_S at most."""

    def __init__(self, soak: Soak, path: str) -> None:
        self._soak = soak
        self._connection = UnixConnection(soak.engine.socket, timeout_s=60)
        self._connection.request("GET", path)
        self._response: http.client.HTTPResponse = self._connection.getresponse()
        if self._response.status != 200:
            raise RuntimeError(f"{path}: {self._response.status} {self._response.read()[:100]!r}")

    def __enter__(self) -> Iterator[bytes]:
        return self._lines()

    def _lines(self) -> Iterator[bytes]:
        deadline = time.monotonic() + RECONNECT_S
        while time.monotonic() < deadline and not self._soak.over.is_set():
            if line := self._response.readline():
                yield line
            else:
                break

    def __exit__(self, *exception: object) -> None:
        self._connection.close()


def facts(pid: int) -> dict[str, int]:
    """Threads, descriptors and resident memory of the daemon."""
    status = Path(f"/proc/{pid}/status").read_text()
    return {
        "threads": len(os.listdir(f"/proc/{pid}/task")), "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "KiB": int(status.partition("VmRSS:")[2].split()[0]),
    }  # fmt: skip


def kinds_of(pid: int) -> Counter[str]:
    """What the daemon's descriptors are of."""
    links: Counter[str] = Counter()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links[os.readlink(fd).partition("[")[0]] += 1
        except FileNotFoundError:  # closed meanwhile
            continue
    return links


def run(soak: Soak, seconds: float, clients: int, pid: int = 0) -> None:
    """With ``pid`` the daemon's figures are printed as it goes: what leaks grows by as much each quarter."""
    half = clients // 2
    kinds = [soak.follow_logs, soak.follow_events]
    jobs = [(kinds[n % 2], n) for n in range(half - STUCK)] + [(soak.stuck, n) for n in range(STUCK)]
    jobs += [(soak.life, n) for n in range(clients - half)] + [(soak.listing, 0)]
    threads = [threading.Thread(target=soak.guarded, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for quarter in range(1, 5):
        soak.over.wait(seconds / 4)
        if pid:
            print(f"after {seconds * quarter / 4:g} s: {facts(pid)}, {soak.done['lives']} lives", flush=True)
    soak.over.set()
    for thread in threads:
        thread.join(120)


def main() -> int:
    parser = argparse.ArgumentParser(description="Two hundred clients at once")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=200)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rootfs = write_rootfs(Path(folder) / "rootfs.tar")
        with running_engine(rootfs) as engine:
            return soak_one(engine, chosen.seconds, chosen.clients)


def soak_one(engine: Engine, seconds: float, clients: int) -> int:
    for number in range(TALKERS):
        script = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done"
        engine.docket("run", "-d", "--name", f"talker{number}", "--network", "none", "base", "sh", "-c", script)
    run(Soak(engine), min(10.0, seconds), clients)  # what is loaded once and kept is loaded now
    pid = engine.daemon_pid()
    before, kinds = settled(pid), kinds_of(pid)
    soak = Soak(engine)
    run(soak, seconds, clients, pid)
    soak.check_nothing_was_missed()
    after = settled(pid, before)
    engine.docket("rm", "-f", *(f"talker{number}" for number in range(TALKERS)))
    left = engine.docket("ps", "-aq").stdout.split()
    print(f"{clients} clients for {seconds:g} s: " + ", ".join(f"{n} {what}" for what, n in soak.done.items()))
    slowest = max(soak.list_s, default=0.0)
    middle = statistics.median(soak.list_s or [0.0])
    print(f"listing the containers took {middle * 1000:.0f} ms, {slowest * 1000:.0f} ms at most")
    print(f"the daemon before: {before}, after: {after}; containers left: {len(left)}")
    for error, count in soak.errors.most_common(20):
        print(f"ERROR {count} times: {error}")
    pool = min(max(after["threads"] - before["threads"], 0), POOL)
    spare = {"threads": pool + 2, "descriptors": 3 * pool + 2 + READERS}
    grown = [what for what in ("threads", "descriptors") if after[what] > before[what] + spare[what]]
    if after["KiB"] > before["KiB"] + MOST_GROWTH_KIB:
        grown.append("memory")
    if grown:
        print(f"LEAK of {', '.join(grown)}")
    print(f"descriptors more or less: {dict(kinds_of(pid) - kinds)} {dict(kinds - kinds_of(pid))}")
    return 1 if soak.errors or grown or left or not soak.done["lives"] else 0


def settled(pid: int, target: dict[str, int] | None = None) -> dict[str, int]:
    """The daemon's facts once its clients are gone, which it notices within seconds."""
    most = (target or {"threads": 40})["threads"]
    try:
        eventually(lambda: facts(pid)["threads"] <= most, timeout_s=30)
    except AssertionError as error:
        print(f"threads stay: {error}", file=sys.stderr)
    return facts(pid)


if __name__ == "__main__":
    sys.exit(main())
