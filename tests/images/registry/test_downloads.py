"""The threads that fetch: so many at once, each blob once, and what happens when somebody leaves."""

from __future__ import annotations

import threading
from typing import Callable, Iterator

import pytest

from engine.domain.errors import EngineError, InvalidArgument, Unavailable
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor
from engine.images.registry.cancellation import Cancelled
from engine.images.registry.client import Repository
from engine.images.registry.downloads import Downloads
from engine.images.registry.transfers import Progress
from support.scripted_registry import LAYER, Exchange, ScriptedRegistry, digest_of
from support.waiting import eventually
from test_fetch import noise

Make = Callable[..., Repository]
MIB = 1 << 20


@pytest.fixture
def downloads(store: ContentStore) -> Iterator[Downloads]:
    made = Downloads(store)
    yield made
    made.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "download"]


def descriptor(body: bytes) -> Descriptor:
    return Descriptor(LAYER, digest_of(body), len(body), None, {})


class Gate:
    """A registry's blobs stop in the middle until ``open``."""

    def __init__(self, registry: ScriptedRegistry) -> None:
        self.opened = threading.Event()
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()
        registry.on("GET", "/blobs/", self._pass)
        self._registry = registry

    def _pass(self, exchange: Exchange) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        body = self._registry.blobs[exchange.asked.path.split("/")[-1]]
        at = int(exchange.headers.get("Range", "bytes=0-")[6:-1])
        if at:
            rest = f"bytes {at}-{len(body) - 1}/{len(body)}"
            exchange.start(206, Content_Length=str(len(body) - at), Content_Range=rest)
        else:
            exchange.start(200, Content_Length=str(len(body)))
        middle = max(len(body) // 2, at)
        exchange.write(body[at:middle])
        exchange.wfile.flush()
        while not self.opened.wait(0.2) and not self._registry.released.is_set():
            continue
        exchange.write(body[middle:])
        with self._lock:
            self.inside -= 1


def test_three_at_once_and_all_of_them(
    registry: ScriptedRegistry, repository: Make, downloads: Downloads, store: ContentStore
) -> None:
    bodies = [noise(1000, bytes([number])) for number in range(10)]
    for body in bodies:
        registry.add_blob(body)
    gate, made = Gate(registry), repository()
    waiting = [downloads.start(made, descriptor(body)) for body in bodies]
    eventually(lambda: gate.inside == 3)
    assert not any(download.done for download in waiting)
    with pytest.raises(TimeoutError):
        waiting[0].result(0.05)
    gate.opened.set()
    assert [download.result(60).digest for download in waiting] == [digest_of(body) for body in bodies]
    assert gate.most == 3
    assert sorted(store.digests()) == sorted(map(digest_of, bodies))


def test_a_blob_that_two_want_is_fetched_once(
    registry: ScriptedRegistry, repository: Make, downloads: Downloads
) -> None:
    body = noise(2 * MIB)
    registry.add_blob(body)
    gate, told = Gate(registry), ([], [])
    waiting = [downloads.start(repository(), descriptor(body), listener.append) for listener in told]
    eventually(lambda: gate.inside == 1)
    gate.opened.set()
    first, second = [download.result(60) for download in waiting]
    assert (first.received_bytes, second.received_bytes) == (len(body), 0)
    assert first.source == second.source == registry.url
    assert len(registry.requests("GET", "/blobs/")) == 1
    assert all(listener[-1] == Progress("downloading", len(body), len(body)) for listener in told)


def test_what_the_store_has_is_answered_at_once(
    registry: ScriptedRegistry, repository: Make, downloads: Downloads, store: ContentStore
) -> None:
    store.add(b"body")
    download = downloads.start(repository(), descriptor(b"body"))
    assert download.done and download.result() == (digest_of(b"body"), 4, 0, "")
    lie = downloads.start(repository(), descriptor(b"body")._replace(size_bytes=5))
    with pytest.raises(InvalidArgument):
        lie.result()
    assert not registry.asked


def test_when_the_first_leaves_the_second_goes_on(
    registry: ScriptedRegistry, repository: Make, downloads: Downloads, store: ContentStore
) -> None:
    body = noise(2 * MIB)
    registry.add_blob(body)
    gate = Gate(registry)
    leaves, stays = repository(), repository()
    first = downloads.start(leaves, descriptor(body))
    eventually(lambda: gate.inside == 1)
    second = downloads.start(stays, descriptor(body))
    partial = store.root / "ingest" / f"partial-{digest_of(body)[7:]}"
    eventually(lambda: partial.stat().st_size == MIB)
    leaves.cancellation.cancel()
    leaves.close()
    assert first.done
    with pytest.raises(Cancelled):
        first.result(60)
    gate.opened.set()
    fetched = second.result(60)
    assert fetched.received_bytes == MIB
    assert registry.requests("GET", "/blobs/")[-1].headers["Range"] == f"bytes={MIB}-"


def test_when_the_first_is_refused_the_second_goes_on(
    registry: ScriptedRegistry, other: ScriptedRegistry, repository: Make, downloads: Downloads
) -> None:
    body = noise(1000)
    other.add_blob(body)
    refused = threading.Event()

    def refuse(exchange: Exchange) -> None:
        refused.wait(10)
        exchange.refuse(404, "BLOB_UNKNOWN", "no")

    registry.on("GET", "/blobs/", refuse)
    first = downloads.start(repository(), descriptor(body))
    second = downloads.start(repository(f"{other.address}/team/app:1"), descriptor(body))
    refused.set()
    with pytest.raises(EngineError, match="no"):
        first.result(60)
    assert second.result(60).source == other.url


def test_when_all_leave_the_fetch_ends_and_what_came_is_kept(
    registry: ScriptedRegistry, repository: Make, downloads: Downloads, store: ContentStore
) -> None:
    body = noise(2 * MIB)
    registry.add_blob(body)
    gate = Gate(registry)
    waiting = [downloads.start(repository(), descriptor(body)) for _ in range(2)]
    partial = store.root / "ingest" / f"partial-{digest_of(body)[7:]}"
    eventually(lambda: partial.exists() and partial.stat().st_size == MIB)
    for download in waiting:
        download.cancel()
    gate.opened.set()
    again = downloads.start(repository(), descriptor(body))
    assert again.result(60).received_bytes == MIB


def test_one_that_was_cancelled_before_it_began(
    registry: ScriptedRegistry, repository: Make, downloads: Downloads
) -> None:
    made = repository()
    made.cancellation.cancel()
    with pytest.raises(Cancelled):
        downloads.start(made, descriptor(b"body")).result(60)
    assert not registry.asked


def test_two_sizes_for_one_digest(registry: ScriptedRegistry, repository: Make, downloads: Downloads) -> None:
    """Who lies about the size does not spoil it for the other."""
    body = noise(1000)
    registry.add_blob(body)
    gate = Gate(registry)
    lie = downloads.start(repository(), descriptor(body)._replace(size_bytes=2000))
    truth = downloads.start(repository(), descriptor(body))
    gate.opened.set()
    with pytest.raises((InvalidArgument, Unavailable)):
        lie.result(60)
    assert truth.result(60).size_bytes == 1000


def test_closing_ends_what_runs(registry: ScriptedRegistry, repository: Make, store: ContentStore) -> None:
    registry.add_blob(noise(MIB))
    gate, downloads = Gate(registry), Downloads(store)
    running = downloads.start(repository(), descriptor(noise(MIB)))
    eventually(lambda: gate.inside == 1)
    downloads.close()
    for download in (running, downloads.start(repository(), descriptor(noise(MIB)))):
        with pytest.raises(Cancelled):
            download.result(1)
