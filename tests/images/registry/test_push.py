"""Blobs and manifests into a registry: what is there, what is mounted, what is gone on from, what is lied about."""

from __future__ import annotations

import time
from typing import Callable

import pytest

from engine.domain.errors import EngineError, Forbidden, InvalidArgument, NotSupported, Unavailable
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor
from engine.images.registry.cancellation import Cancelled
from engine.images.registry.client import Repository
from engine.images.registry.settings import RegistrySettings
from engine.images.registry.transfers import Document, Progress
from support.scripted_registry import LAYER, MANIFEST, Exchange, ScriptedRegistry, digest_of
from test_fetch import noise

Make = Callable[..., Repository]
MIB = 1 << 20


def stored(store: ContentStore, body: bytes) -> Descriptor:
    return Descriptor(LAYER, store.add(body).digest, len(body), None, {})


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3 * MIB])
def test_uploads(registry: ScriptedRegistry, repository: Make, store: ContentStore, size: int) -> None:
    body = noise(size)
    told: list[Progress] = []
    pushed = repository().push_blob(stored(store, body), store, told.append)
    assert (pushed.how, pushed.size_bytes) == ("uploaded", size)
    assert registry.blobs[digest_of(body)] == body
    assert told[-1] == Progress("uploading", size, size)
    assert repository().push_blob(stored(store, body), store).how == "exists"


def test_mounting(registry: ScriptedRegistry, repository: Make, store: ContentStore) -> None:
    blob = stored(store, b"layer")
    registry.on("HEAD", "/blobs/", lambda exchange: exchange.reply(404))
    registry.add_blob(b"layer")
    pushed = repository().push_blob(blob, store, mount_from=["team/app", "team/base"])
    assert (pushed.how, pushed.mounted_from) == ("mounted", "team/base")
    (asked,) = registry.requests("POST")
    assert asked.query == {"mount": blob.digest, "from": "team/base"}


def test_what_can_not_be_mounted_is_uploaded(registry: ScriptedRegistry, repository: Make, store: ContentStore) -> None:
    blob = stored(store, b"layer")
    registry.on("POST", "/uploads/", lambda exchange: exchange.refuse(403, "DENIED", "not yours"), times=1)
    assert repository().push_blob(blob, store, mount_from=["other/base", "next/base"]).how == "uploaded"
    assert len(registry.requests("DELETE")) == 1
    assert len(registry.uploads) == 0


def test_a_registry_that_lets_nobody_give_up_an_upload(
    registry: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    """Many ask for a right of its own for that."""
    registry.on("DELETE", "/uploads/", lambda exchange: exchange.refuse(401, "UNAUTHORIZED", "not you"))
    pushed = repository().push_blob(stored(store, b"layer"), store, mount_from=["other/base", "next/base"])
    assert (pushed.how, len(registry.requests("DELETE"))) == ("uploaded", 1)


def cut_upload(kept: int, *, says: str = "") -> Callable[[Exchange], None]:
    """Takes so many bytes of the body, then hangs up."""

    def action(exchange: Exchange) -> None:
        registry = exchange.server.registry
        name = exchange.path.split("/")[-1].partition("?")[0]
        exchange.rfile.read(kept)
        registry.uploads[name] = says.encode() or noise(9 * MIB)[:kept]
        exchange.drop()

    return action


def test_an_interrupted_upload_is_gone_on_from(
    registry: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    body = noise(9 * MIB)
    registry.on("PATCH", "/uploads/", cut_upload(4 * MIB), times=1, early=True)
    told: list[Progress] = []
    assert repository().push_blob(stored(store, body), store, told.append).how == "uploaded"
    (patch,) = registry.requests("PATCH")[-1:]
    assert patch.headers["Content-Range"] == f"{4 * MIB}-{9 * MIB - 1}"
    assert len(patch.body) == 5 * MIB
    assert registry.blobs[digest_of(body)] == body
    assert any(progress.action == "retrying" for progress in told)


@pytest.mark.parametrize("forgets", [True, False])
def test_an_upload_that_the_registry_lost_is_begun_anew(
    registry: ScriptedRegistry, repository: Make, store: ContentStore, forgets: bool
) -> None:
    """It has forgotten it, or can't put it together any more."""
    body = noise(2 * MIB)
    registry.on("PATCH", "/uploads/", cut_upload(10, says="0123456789"), times=1, early=True)
    if forgets:
        registry.on("GET", "/uploads/", lambda exchange: exchange.refuse(404, "BLOB_UPLOAD_UNKNOWN", "gone"))
    assert repository().push_blob(stored(store, body), store).how == "uploaded"
    assert registry.blobs[digest_of(body)] == body
    assert len(registry.requests("POST")) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_busy_registries(registry: ScriptedRegistry, repository: Make, store: ContentStore, method: str) -> None:
    body = noise(MIB)
    registry.on(method, "/uploads/", lambda exchange: exchange.refuse(503, "BUSY", "later"), times=1)
    assert repository().push_blob(stored(store, body), store).how == "uploaded"
    assert registry.blobs[digest_of(body)] == body


def test_a_registry_that_stays_busy(registry: ScriptedRegistry, repository: Make, store: ContentStore) -> None:
    registry.on("PUT", "/uploads/", lambda exchange: exchange.refuse(503, "BUSY", "later"))
    with pytest.raises(Unavailable, match="503 Service Unavailable: busy: later"):
        repository().push_blob(stored(store, noise(MIB)), store)
    assert len(registry.requests("PUT")) == 3


def test_a_registry_that_takes_its_time_with_a_blob(
    registry: ScriptedRegistry, repository: Make, store: ContentStore, settings: RegistrySettings
) -> None:
    def slow(exchange: Exchange) -> None:
        time.sleep(2)
        exchange.pass_on()

    registry.on("PUT", "/uploads/", slow)
    made = repository(patience=settings.patience._replace(stall_timeout_s=1.0, attempts=1))
    assert made.push_blob(stored(store, noise(MIB)), store).how == "uploaded"


@pytest.mark.parametrize(
    ("status", "error", "match"),
    [
        (403, Forbidden, "denied: no"),
        (413, InvalidArgument, "denied: no"),
        (400, InvalidArgument, "denied: no"),
        (307, NotSupported, "redirects"),
    ],
)
def test_refusals(
    registry: ScriptedRegistry, repository: Make, store: ContentStore, status: int, error: type[Exception], match: str
) -> None:
    registry.on("PATCH", "/uploads/", lambda exchange: exchange.refuse(status, "DENIED", "no", Location="/elsewhere"))
    with pytest.raises(error, match=match):
        repository().push_blob(stored(store, noise(MIB)), store)
    assert len(registry.requests("POST")) == 1


@pytest.mark.parametrize("location", ["", "ftp://x/", "http://169.254.169.254/upload", "http://u:p@127.0.0.1/"])
def test_places_to_upload_to_that_are_none(
    registry: ScriptedRegistry, repository: Make, store: ContentStore, location: str
) -> None:
    registry.on("POST", "/uploads/", lambda exchange: exchange.reply(202, Location=location))
    with pytest.raises(EngineError, match="where to upload|invalid URL|plain HTTP|link-local"):
        repository().push_blob(stored(store, b"layer"), store)


def test_cancelling(registry: ScriptedRegistry, repository: Make, store: ContentStore) -> None:
    made = repository()

    def stall(exchange: Exchange) -> None:
        made.cancellation.cancel()
        registry.released.wait(30)

    registry.on("PATCH", "/uploads/", stall, early=True)
    began = time.monotonic()
    with pytest.raises(Cancelled):
        made.push_blob(stored(store, noise(30 * MIB)), store)
    assert time.monotonic() - began < 10


def test_manifests(registry: ScriptedRegistry, repository: Make) -> None:
    body = b'{"schemaVersion": 2,\n "as": "it came"}'
    document = Document(MANIFEST, digest_of(body), body)
    assert repository("team/app:1").put_manifest(document) == digest_of(body)
    assert repository("team/app").put_manifest(document, "other") == digest_of(body)
    assert registry.manifests["team/app/1"] == registry.manifests["team/app/other"] == (MANIFEST, body)


def test_a_registry_that_stores_something_else(registry: ScriptedRegistry, repository: Make) -> None:
    other = digest_of(b"other")
    registry.on("PUT", "/manifests/", lambda exchange: exchange.reply(201, Docker_Content_Digest=other))
    with pytest.raises(InvalidArgument, match=f"stored {other} in place of"):
        repository().put_manifest(Document(MANIFEST, digest_of(b"{}"), b"{}"))


def test_a_manifest_whose_blobs_are_missing(registry: ScriptedRegistry, repository: Make) -> None:
    registry.on("PUT", "/manifests/", lambda exchange: exchange.refuse(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown"))
    with pytest.raises(InvalidArgument, match="manifest blob unknown: blob unknown"):
        repository().put_manifest(Document(MANIFEST, digest_of(b"{}"), b"{}"))
