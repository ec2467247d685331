"""Pulls by HTTP: layers that are unpacked while they are fetched, and what can go wrong with a blob whose beginning is
a tree already; what is asked again of a tag that is here."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Callable, Iterator

import pytest

from engine.domain.errors import EngineError, InvalidArgument
from engine.images.registry.cancellation import Cancelled
from engine.images.registry.client import Registries
from engine.images.registry.settings import Patience, RegistrySettings
from support.image_home import Home, layer, statuses
from support.scripted_registry import INDEX, MANIFEST, Exchange, ScriptedRegistry
from support.waiting import eventually

HALF = 1 << 20
LARGE = layer(("first", b"1" * HALF), ("second", b"2" * HALF))
MIDDLE = HALF + HALF // 2
"""Of the second file: the first has left the worker's hands."""
BLOB = f"/blobs/sha256:{hashlib.sha256(LARGE).hexdigest()}"
PATIENCE = Patience(connect_timeout_s=20.0, stall_timeout_s=20.0, attempts=2, backoff_s=0.01, longest_wait_s=1.0)


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry() as scripted:
        yield scripted


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "root", Registries(RegistrySettings(patience=PATIENCE)))
    yield made
    made.downloads.close()
    made.engine.core.log.close()
    made.timers.close()


@pytest.fixture
def app(registry: ScriptedRegistry) -> str:
    diff_id = f"sha256:{hashlib.sha256(LARGE).hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    registry.add_image("team/app", "1", [LARGE], json.dumps(config).encode())
    return f"{registry.address}/team/app:1"


def halfway(registry: ScriptedRegistry, go_on: Callable[[Exchange], None]) -> None:
    """The next request for the layer gets its first half; ``go_on`` says what then."""

    def send(exchange: Exchange) -> None:
        exchange.start(200, Content_Length=str(len(LARGE)))
        exchange.write(LARGE[:MIDDLE])
        exchange.wfile.flush()
        go_on(exchange)

    registry.on("GET", BLOB, send, times=1)


def half_a_tree(home: Home) -> bool:
    return any(path.stat().st_size == HALF for path in home.store.layers.glob("tmp-*/first"))


def test_the_tree_grows_with_the_blob_and_is_seen_when_that_is_right(
    home: Home, registry: ScriptedRegistry, app: str
) -> None:
    def go_on(exchange: Exchange) -> None:
        eventually(lambda: half_a_tree(home), what="the first half is unpacked")
        seen.append((home.types()[-1], [path.name[:4] for path in home.store.layers.iterdir()]))
        exchange.write(LARGE[MIDDLE:])

    seen: list[tuple[str, list[str]]] = []
    halfway(registry, go_on)
    told = statuses(home.pull(app))
    assert seen == [("layer.unpacking", ["tmp-"])]
    assert home.types() == [
        "image.pulling", "layer.unpacking", "layer.fetched", "layer.stored", "image.pulled", "image.tagged"
    ]  # fmt: skip
    assert told.index("Download complete") < told.index("Extracting") < told.index("Pull complete")
    assert told.count("Extracting") == home.worker.count("layer.unpack") == 1
    home.check()


@pytest.mark.parametrize("rest", [b"3" + LARGE[MIDDLE + 1 :], bytes(len(LARGE) - MIDDLE)], ids=["a byte", "zeros"])
def test_a_blob_that_is_wrong_in_the_end_leaves_no_tree(
    home: Home, registry: ScriptedRegistry, app: str, rest: bytes
) -> None:
    def go_on(exchange: Exchange) -> None:
        eventually(lambda: half_a_tree(home), what="the first half is unpacked")
        exchange.write(rest)

    halfway(registry, go_on)
    with pytest.raises(InvalidArgument, match="content has digest sha256:.* where sha256:.* is expected"):
        home.pull(app)
    assert home.types()[-2:] == ["layer.unpack_failed", "image.pull_failed"]
    assert list(home.store.layers.iterdir()) == []
    home.pull(app)
    home.check()


def test_a_blob_that_is_begun_anew_is_unpacked_anew(home: Home, registry: ScriptedRegistry, app: str) -> None:
    def begin_anew(exchange: Exchange) -> None:
        eventually(lambda: half_a_tree(home), what="the first half is unpacked")
        exchange.drop()

    halfway(registry, begin_anew)
    registry.on("GET", BLOB, lambda exchange: exchange.reply(200, LARGE))
    home.pull(app)
    assert registry.requests("GET", "/blobs/")[-1].headers["Range"] == f"bytes={MIDDLE}-"
    assert home.types().count("layer.fetched") == home.types().count("layer.stored") == 1
    assert (home.store.layer(home.image(app).chain_ids[0]) / "second").read_bytes() == b"2" * HALF
    home.check()


def test_what_is_wrong_with_the_tree_is_said_once_the_blob_is_right(home: Home, registry: ScriptedRegistry) -> None:
    bad = layer(("first", b"1" * HALF), ("../second", b"2" * HALF))
    diff_id = f"sha256:{hashlib.sha256(bad).hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    registry.add_image("team/bad", "1", [bad], json.dumps(config).encode())
    with pytest.raises(InvalidArgument, match='layer entry "../second" has ".."'):
        home.pull(f"{registry.address}/team/bad:1")
    *before, last = [kind for kind in home.types() if kind.startswith("layer")]
    assert {*before} == {"layer.unpacking", "layer.fetched"} and last == "layer.unpack_failed"  # it may come at once
    assert list(home.store.layers.iterdir()) == []


def test_a_client_that_leaves_takes_the_tree_along_and_the_next_one_asks_for_the_rest(
    home: Home, registry: ScriptedRegistry, app: str
) -> None:
    failed: list[EngineError] = []

    def pull() -> None:
        try:
            home.pull(app)
        except EngineError as error:
            failed.append(error)

    halfway(registry, lambda exchange: registry.released.wait(20))
    thread = threading.Thread(target=pull)
    thread.start()
    eventually(lambda: half_a_tree(home), what="the first half is unpacked")
    home.departed.set()
    thread.join(20)
    assert [type(error) for error in failed] == [Cancelled] and list(home.store.layers.iterdir()) == []
    home.departed = threading.Event()
    home.pull(app)
    last = registry.requests("GET", "/blobs/")[-1]
    assert last.headers["Range"] == f"bytes={MIDDLE}-"
    home.check()


def test_two_pulls_of_it_at_once_unpack_it_once(home: Home, registry: ScriptedRegistry, app: str) -> None:
    def go_on(exchange: Exchange) -> None:
        eventually(lambda: len(registry.requests("GET", "/manifests/")) == 2, what="another pull")
        exchange.write(LARGE[MIDDLE:])

    halfway(registry, go_on)
    pulls = [threading.Thread(target=home.pull, args=(app,)) for _ in range(2)]
    for pull in pulls:
        pull.start()
    for pull in pulls:
        pull.join(20)
    assert home.worker.count("layer.unpack") == home.types().count("layer.fetched") == 1
    home.check()


def test_a_tag_that_has_not_changed_costs_one_question(home: Home, registry: ScriptedRegistry, app: str) -> None:
    """Through an index, too, and for another platform the choice is made anew."""
    kind, manifest = registry.manifests["team/app/1"]
    config = {"architecture": "arm64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    other = json.dumps(registry.manifest([], json.dumps(config).encode())).encode()
    listed = [
        {"mediaType": kind, "digest": registry.add_manifest("team/app", "x", body), "size": len(body),
         "platform": {"os": "linux", "architecture": architecture}}
        for body, architecture in ((manifest, "amd64"), (other, "arm64"))
    ]  # fmt: skip
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
    digest = registry.add_manifest("team/app", "1", index, INDEX)
    home.pull(app, platform="linux/amd64")
    registry.asked.clear()
    told = statuses(home.pull(app, platform="linux/amd64"))
    assert [(asked.method, asked.path) for asked in registry.asked] == [("HEAD", "/v2/team/app/manifests/1")]
    assert told[-2:] == [f"Digest: {digest}", f"Status: Image is up to date for {app}"]
    home.pull(app, platform="linux/arm64")
    assert home.image(app).manifest_digest == listed[1]["digest"] and MANIFEST == kind
    registry.on("HEAD", "/manifests/", lambda exchange: exchange.reply(405))
    registry.add_manifest("team/app", "1", manifest)
    assert statuses(home.pull(app))[-1] == f"Status: Downloaded newer image for {app}"
    for image in home.log.all("image"):
        home.remove(image.id, force=True)
    assert home.content.digests() == []
    home.check()


def test_a_blob_that_is_lost_comes_back_though_its_tree_is_there(
    home: Home, registry: ScriptedRegistry, app: str
) -> None:
    home.pull(app)
    digest = f"sha256:{hashlib.sha256(LARGE).hexdigest()}"
    home.content.remove(digest)
    home.pull(app)
    assert home.content.has(digest) and home.worker.count("layer.unpack") == 1
