"""Blobs from a registry: verified, continued, bounded, whatever it sends."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path
from typing import Callable

import pytest

from engine.domain.errors import EngineError, InvalidArgument, NotFound, Unavailable
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor
from engine.images.registry.cancellation import Cancellation, Cancelled
from engine.images.registry.client import Repository
from engine.images.registry.settings import RegistrySettings
from engine.images.registry.transfers import Progress
from support.scripted_registry import LAYER, Exchange, ScriptedRegistry, digest_of
from support.waiting import eventually

Make = Callable[..., Repository]
MIB = 1 << 20


def noise(size: int, seed: bytes = b"") -> bytes:
    return hashlib.shake_128(seed).digest(size)


def descriptor(body: bytes, size: int | None = None) -> Descriptor:
    return Descriptor(LAYER, digest_of(body), len(body) if size is None else size, None, {})


@pytest.mark.parametrize("size", [0, 1, 65536, 3 * MIB + 1])
def test_a_blob_arrives_whole_and_says_where_from(
    registry: ScriptedRegistry, repository: Make, store: ContentStore, size: int
) -> None:
    body = noise(size)
    registry.add_blob(body)
    told: list[Progress] = []
    fetched = repository().fetch(descriptor(body), store, told.append)
    assert fetched == (digest_of(body), size, size, registry.url)
    assert store.path(digest_of(body)).read_bytes() == body
    assert told[-1] == Progress("downloading", size, size)
    assert not list((store.root / "ingest").iterdir())
    again = repository().fetch(descriptor(body), store)
    assert (again.received_bytes, again.source) == (0, "")
    assert len(registry.requests("GET", "/blobs/")) == 1


def test_a_body_without_a_length(registry: ScriptedRegistry, repository: Make, store: ContentStore) -> None:
    def chunked(exchange: Exchange) -> None:
        exchange.start(200, Transfer_Encoding="chunked")
        for at in range(0, len(body), 1000):
            piece = body[at : at + 1000]
            exchange.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        exchange.write(b"0\r\n\r\n")

    body = noise(100_001)
    registry.on("GET", "/blobs/", chunked)
    assert repository().fetch(descriptor(body), store).received_bytes == len(body)
    assert store.has(digest_of(body))


# --- interruptions -----------------------------------------------------------------------------------------------


def cut(body: bytes, after: int) -> Callable[[Exchange], None]:
    def action(exchange: Exchange) -> None:
        exchange.start(200, Content_Length=str(len(body)))
        exchange.write(body[:after])
        exchange.wfile.flush()
        time.sleep(0.05)
        exchange.drop()

    return action


def test_a_dropped_connection_is_gone_on_from(
    registry: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    body = noise(4 * MIB)
    registry.add_blob(body)
    registry.on("GET", "/blobs/", cut(body, 2 * MIB), times=1)
    told: list[Progress] = []
    fetched = repository().fetch(descriptor(body), store, told.append)
    assert fetched.received_bytes == len(body)
    first, second = registry.requests("GET", "/blobs/")
    assert "Range" not in first.headers
    at = int(second.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < at <= 2 * MIB
    assert [progress for progress in told if progress.action == "retrying"][0].done_bytes == at


def test_a_registry_without_ranges_starts_over(
    registry: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    body = noise(2 * MIB)
    registry.on("GET", "/blobs/", cut(body, MIB), times=1)
    registry.on("GET", "/blobs/", lambda exchange: exchange.reply(200, body))
    assert repository().fetch(descriptor(body), store).received_bytes > len(body)
    assert store.has(digest_of(body))


def test_what_a_failed_pull_left_is_used_by_the_next(
    registry: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    body = noise(2 * MIB)
    registry.on("GET", "/blobs/", cut(body, MIB), times=1)
    registry.on("GET", "/blobs/", lambda exchange: exchange.drop(), times=3)
    with pytest.raises(Unavailable):
        repository().fetch(descriptor(body), store)
    assert not store.has(digest_of(body))
    (partial,) = (store.root / "ingest").iterdir()
    left = partial.stat().st_size
    assert 0 < left <= MIB
    assert store.sweep() == 0 and store.sweep(partial_life_s=3600) == 0
    registry.add_blob(body)
    fetched = repository().fetch(descriptor(body), store)
    assert fetched.received_bytes == len(body) - left
    assert not list((store.root / "ingest").iterdir())


@pytest.mark.parametrize("left", [b"x" * MIB, b"x" * (2 * MIB), b"x" * (3 * MIB)])
def test_a_leftover_that_is_wrong_costs_no_more_than_time(
    registry: ScriptedRegistry, repository: Make, store: ContentStore, left: bytes
) -> None:
    """After a power cut the file may hold zeros."""
    body = noise(2 * MIB)
    registry.add_blob(body)
    with store.partial(digest_of(body)) as writer:
        writer.write(left)
    repository().fetch(descriptor(body), store)
    assert store.path(digest_of(body)).read_bytes() == body


def test_leftovers_go_in_the_end(store: ContentStore) -> None:
    with store.partial(digest_of(b"x")) as writer:
        writer.write(b"x")
    assert store.sweep(partial_life_s=0) == 1


@pytest.mark.parametrize(("status", "headers"), [(429, {"Retry_After": "0"}), (503, {}), (500, {}), (502, {})])
def test_busy_registries_are_asked_again(
    registry: ScriptedRegistry, repository: Make, store: ContentStore, status: int, headers: dict[str, str]
) -> None:
    registry.add_blob(b"body")
    registry.on("GET", "/blobs/", lambda exchange: exchange.refuse(status, "BUSY", "later", **headers), times=2)
    told: list[Progress] = []
    repository().fetch(descriptor(b"body"), store, told.append)
    assert len([progress for progress in told if progress.action == "retrying" and "later" in progress.note]) >= 1


def test_retry_after_is_obeyed_where_it_is_bearable(
    registry: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    registry.add_blob(b"body")
    limited = "TOOMANYREQUESTS"
    registry.on(
        "GET", "/blobs/", lambda exchange: exchange.refuse(429, limited, "pull rate limit", Retry_After="1"), times=1
    )
    made = repository()
    began = time.monotonic()
    made.fetch(descriptor(b"body"), store)
    assert time.monotonic() - began >= 1
    registry.on("GET", "/blobs/", lambda exchange: exchange.refuse(429, limited, "pull rate limit", Retry_After="999"))
    began = time.monotonic()
    with pytest.raises(Unavailable, match="toomanyrequests: pull rate limit"):
        made.fetch(descriptor(b"other"), store)
    assert time.monotonic() - began < 100


@pytest.fixture
def hasty(repository: Make, settings: RegistrySettings) -> Repository:
    """Takes a second without news for a stall."""
    return repository(patience=settings.patience._replace(stall_timeout_s=1.0))


def test_a_stalling_registry_is_given_up(registry: ScriptedRegistry, hasty: Repository, store: ContentStore) -> None:
    def stall(exchange: Exchange) -> None:
        exchange.start(200, Content_Length="1000000")
        exchange.write(b"some")
        registry.released.wait(30)

    registry.on("GET", "/blobs/", stall)
    with pytest.raises(Unavailable, match="stalls"):
        hasty.fetch(descriptor(b"x" * 1_000_000), store)


def test_a_dripping_registry_is_given_up(registry: ScriptedRegistry, hasty: Repository, store: ContentStore) -> None:
    def drip(exchange: Exchange) -> None:
        exchange.start(200, Content_Length="1000000")
        while exchange.write(b"x") and not registry.released.wait(0.2):
            exchange.wfile.flush()

    registry.on("GET", "/blobs/", drip)
    with pytest.raises(Unavailable, match="bytes in 1 s"):
        hasty.fetch(descriptor(b"x" * 1_000_000), store)


@pytest.mark.parametrize("drop", [b"HTTP/1.1 100 Continue\r\n\r\n", b"H"])
def test_a_head_that_never_ends_is_given_up(
    registry: ScriptedRegistry, hasty: Repository, store: ContentStore, drop: bytes
) -> None:
    """Each byte comes in time, and the first of the body never."""

    def drip(exchange: Exchange) -> None:
        exchange.write(b"HTTP/1.1 200 OK\r\nX: " if drop == b"H" else b"")
        while exchange.write(drop) and not registry.released.wait(0.05):
            exchange.wfile.flush()

    registry.on("GET", "/blobs/", drip)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="stalls"):
        hasty.fetch(descriptor(b"x" * 1000), store)
    assert time.monotonic() - began < 8


# --- lies --------------------------------------------------------------------------------------------------------


def refused(make: Make, store: ContentStore, blob: Descriptor, match: str) -> None:
    with pytest.raises(InvalidArgument, match=match):
        make().fetch(blob, store)
    assert not store.has(blob.digest)


def test_a_wrong_digest_never_becomes_visible(
    registry: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    right, wrong = noise(MIB, b"right"), noise(MIB, b"wrong")
    registry.blobs[digest_of(right)] = wrong
    refused(repository, store, descriptor(right), f"blob {digest_of(right)} from .* has digest {digest_of(wrong)}")
    registry.add_blob(right)
    assert repository().fetch(descriptor(right), store).received_bytes == len(right)


@pytest.mark.parametrize("claimed", [10, 1 << 20, 1 << 40])
def test_sizes_that_differ_from_the_descriptor(
    registry: ScriptedRegistry, repository: Make, store: ContentStore, claimed: int
) -> None:
    body = noise(100_000)
    registry.add_blob(body)
    blob = descriptor(body, claimed)
    with pytest.raises(EngineError, match="announces 100000 bytes where|no space left"):
        repository().fetch(blob, store)
    assert not store.has(blob.digest)


def test_an_endless_layer_is_cut_off(registry: ScriptedRegistry, repository: Make, store: ContentStore) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.start(200, Connection="close")
        exchange.close_connection = True
        while exchange.write(bytes(MIB)) and not registry.released.is_set():
            written.append(MIB)

    written: list[int] = []
    registry.on("GET", "/blobs/", endless)
    refused(repository, store, descriptor(bytes(5 * MIB)[:-1]), "larger than the 5242879 bytes of its descriptor")
    assert sum(written) < 64 * MIB
    assert sum(path.stat().st_size for path in (store.root / "ingest").iterdir()) <= 5 * MIB


def test_a_layer_that_ends_early_every_time(registry: ScriptedRegistry, repository: Make, store: ContentStore) -> None:
    def short(exchange: Exchange) -> None:
        exchange.start(200, Connection="close")
        exchange.close_connection = True
        exchange.write(b"short")

    registry.on("GET", "/blobs/", short)
    with pytest.raises(Unavailable, match="ended after 5 of 1000 bytes"):
        repository().fetch(descriptor(b"x" * 1000), store)


def test_a_large_layer_that_ends_early_every_time(
    registry: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    """Without ranges each attempt brings the same bytes: that is no progress, however many they are."""
    body = noise(4 * MIB)
    registry.on("GET", "/blobs/", cut(body, 2 * MIB), times=20)
    registry.on("GET", "/blobs/", lambda exchange: exchange.reply(200, body))
    with pytest.raises(Unavailable):
        repository().fetch(descriptor(body), store)
    assert len(registry.requests("GET", "/blobs/")) < 10


@pytest.mark.parametrize("answered", ["bytes 0-9/10", "bytes 5-8/9", "bytes 5-9/11", "rubbish", "bytes 5-9999999/*"])
def test_ranges_that_were_not_asked_for(
    registry: ScriptedRegistry, repository: Make, store: ContentStore, answered: str
) -> None:
    with store.partial(digest_of(b"0123456789")) as writer:
        writer.write(b"01234")
    registry.on("GET", "/blobs/", lambda exchange: exchange.reply(206, b"56789", Content_Range=answered))
    refused(repository, store, descriptor(b"0123456789"), "bytes from 5 of 10|announces")


def test_a_range_without_a_byte_is_not_asked_for_for_ever(
    registry: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    def empty(exchange: Exchange) -> None:
        exchange.start(206, Content_Range="bytes 5-9/10", Connection="close")
        exchange.close_connection = True

    with store.partial(digest_of(b"0123456789")) as writer:
        writer.write(b"01234")
    registry.on("GET", "/blobs/", empty)
    with pytest.raises(Unavailable, match="no byte of a range"):
        repository().fetch(descriptor(b"0123456789"), store)
    assert len(registry.asked) < 10


def test_a_body_in_another_encoding(registry: ScriptedRegistry, repository: Make, store: ContentStore) -> None:
    registry.on("GET", "/blobs/", lambda exchange: exchange.reply(200, b"body", Content_Encoding="gzip"))
    refused(repository, store, descriptor(b"body"), "content encoding")
    assert registry.asked[-1].headers["Accept-Encoding"] == "identity"


def test_a_blob_that_is_not_there(registry: ScriptedRegistry, repository: Make, store: ContentStore) -> None:
    with pytest.raises(NotFound, match="blob unknown"):
        repository().fetch(descriptor(b"body"), store)


def test_a_descriptor_that_lies_about_what_the_store_has(repository: Make, store: ContentStore) -> None:
    store.add(b"body")
    with pytest.raises(InvalidArgument, match="has 4 bytes where its descriptor says 5"):
        repository().fetch(descriptor(b"body", 5), store)


# --- cancellation ------------------------------------------------------------------------------------------------


def test_cancelling_ends_a_fetch_at_once_and_keeps_what_came(
    registry: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    def stall(exchange: Exchange) -> None:
        exchange.start(200, Content_Length=str(len(body)))
        exchange.write(body[:MIB])
        exchange.wfile.flush()
        registry.released.wait(30)

    body = noise(2 * MIB)
    registry.on("GET", "/blobs/", stall)
    cancellation, outcome = Cancellation(), []

    def run() -> None:
        try:
            repository().fetch(descriptor(body), store, cancellation=cancellation)
        except EngineError as error:
            outcome.append((error, time.monotonic()))

    thread = threading.Thread(target=run)
    thread.start()
    partial = store.root / "ingest" / f"partial-{digest_of(body)[7:]}"
    eventually(lambda: partial.exists() and partial.stat().st_size == MIB)
    asked = time.monotonic()
    cancellation.cancel()
    thread.join(5)
    error, ended = outcome[0]
    assert isinstance(error, Cancelled) and ended - asked < 10
    assert partial.stat().st_size == MIB


def test_a_cancelled_operation_asks_nothing(
    registry: ScriptedRegistry, repository: Make, store: ContentStore, tmp_path: Path
) -> None:
    made = repository()
    made.cancellation.cancel()
    with pytest.raises(Cancelled):
        made.resolve()
    with pytest.raises(Cancelled):
        made.fetch(descriptor(b"x"), store)
    assert not registry.asked
