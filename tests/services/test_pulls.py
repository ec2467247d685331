"""Pulls on a registry in memory: what is told, what is on record, what is left when something goes wrong."""

from __future__ import annotations

import gzip
import hashlib
import sys
import threading
from pathlib import Path

import pytest

from engine.domain.errors import Conflict, InvalidArgument, NotFound, NotSupported, Unavailable
from engine.domain.image import CreateImage, ImageCreated
from engine.images.manifests import Descriptor
from engine.images.platforms import this_machine
from engine.images.registry.cancellation import Cancellation, Cancelled

from support.image_home import CONTEXT, Home, ONE, THREE, TWO, layer, statuses

ZSTD = bytes.fromhex("28b52ffd") + b"no matter what"


def test_a_pull_is_told_and_recorded(home: Home) -> None:
    packed = [gzip.compress(data, mtime=0) for data in (ONE, TWO)]
    digest = home.registry.add("library/app:1", [ONE, TWO], compressed=packed, config={"Labels": {"a": "b"}})
    told = home.pull("app:1")
    assert statuses(told)[0] == "Pulling from library/app" and told[0].id == "1"
    assert statuses(told)[-2:] == [f"Digest: {digest}", "Status: Downloaded newer image for app:1"]
    assert statuses(told).count("Pulling fs layer") == statuses(told).count("Pull complete") == 2
    image = home.image("app:1")
    assert image.references == ("docker.io/library/app:1", f"docker.io/library/app@{digest}")
    assert (image.origin, image.source, image.manifest_digest) == ("pull", "https://registry.example", digest)
    assert image.labels == {"a": "b"} and image.size_bytes == 6
    assert home.types()[0] == "image.pulling" and home.types()[-2:] == ["image.pulled", "image.tagged"]
    for chain_id, name in zip(image.chain_ids, ("one", "two")):
        assert (home.store.layer(chain_id) / name).read_bytes() == name.encode()
    home.check()


def test_where_a_layer_came_from_and_when_is_one_query(home: Home) -> None:
    home.registry.add("library/app:1", [ONE])
    home.pull("app:1")
    trail = home.engine.services.audit.trail(None, "app:1")
    assert [recorded.type for recorded in trail] == [
        "image.pulling", "layer.fetched", "layer.unpacking", "layer.stored", "image.pulled", "image.tagged"
    ]  # fmt: skip
    pulling, fetched, unpacking, stored, *_ = trail
    assert fetched.data["source"] == "https://registry.example" and fetched.data["received_bytes"] == len(ONE)
    assert fetched.data["reference"] == "docker.io/library/app:1"
    assert fetched.causation == f"event:{pulling.seq}" and stored.causation == f"event:{unpacking.seq}"


def test_again_is_up_to_date_and_fetches_nothing(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    home.pull("app:1")
    events, fetches = len(home.types()), len(home.registry.fetches)
    told = statuses(home.pull("app:1"))
    assert len(told) == 3 and told[-1] == "Status: Image is up to date for app:1"
    assert (len(home.types()), len(home.registry.fetches)) == (events, fetches)


def test_a_shared_layer_is_fetched_once(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    home.registry.add("library/app:2", [ONE, THREE])
    home.pull("app:1")
    told = statuses(home.pull("app:2"))
    assert told.count("Already exists") == 1 and told.count("Pull complete") == 1
    assert home.worker.count("layer.unpack") == 3
    home.check()


def test_a_tag_moves_and_the_old_image_keeps_its_digest(home: Home) -> None:
    first = home.registry.add("library/app:1", [ONE])
    home.pull("app:1")
    old = home.image("app:1").id
    home.registry.add("library/app:1", [TWO])
    assert statuses(home.pull("app:1"))[-1] == "Status: Downloaded newer image for app:1"
    assert home.image("app:1").id != old
    assert home.image(f"app@{first}").id == old
    assert home.image(old).references == (f"docker.io/library/app@{first}",)


def test_by_digest_there_is_no_tag(home: Home) -> None:
    digest = home.registry.add("library/app:1", [ONE])
    told = home.pull(f"app@{digest}")
    assert told[0].id == digest
    assert statuses(told)[-1] == f"Status: Downloaded newer image for app@{digest}"
    assert home.image(f"app@{digest}").references == (f"docker.io/library/app@{digest}",)
    assert statuses(home.pull(f"app@{digest}"))[-1] == f"Status: Image is up to date for app@{digest}"


def test_every_tag(home: Home) -> None:
    home.registry.add("library/app:1", [ONE])
    home.registry.add("library/app:2", [ONE, TWO])
    told = home.pull("app", every_tag=True)
    assert [notice.id for notice in told if notice.status.startswith("Pulling from")] == ["1", "2"]
    assert statuses(told)[-1] == "Status: Downloaded newer image for app"
    assert home.image("app:1").id != home.image("app:2").id
    with pytest.raises(InvalidArgument, match="--all-tags"):
        home.pull("app:1", every_tag=True)


def test_an_index_is_a_choice_of_platform(home: Home) -> None:
    amd64 = home.registry.add("library/app:x", [ONE])
    arm64 = home.registry.add("library/app:y", [TWO], architecture="arm64")
    index = home.registry.add_index("library/app:1", {"linux/amd64": amd64, "linux/arm64": arm64})
    told = statuses(home.pull("app:1"))
    assert f"Digest: {index}" in told and home.image("app:1").manifest_digest == amd64
    home.pull("app:1", platform="linux/arm64")
    assert home.image("app:1").manifest_digest == home.image(f"app@{index}").manifest_digest == arm64
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x"):
        home.pull("app:1", platform="linux/s390x")
    with pytest.raises(InvalidArgument, match="is for platform linux/amd64, not for linux/arm64"):
        home.pull("app:x", platform="linux/arm64")


def test_what_a_configuration_leaves_open_is_this_machines(home: Home) -> None:
    """As for every later command on the image."""
    home.registry.add("library/app:1", [ONE], architecture="")
    with pytest.raises(InvalidArgument, match=f"is for platform {this_machine()}, not for linux/s390x"):
        home.pull("app:1", platform="linux/s390x")
    home.pull("app:1", platform=str(this_machine()))


def test_what_is_not_there_leaves_no_trace(home: Home) -> None:
    with pytest.raises(NotFound, match="manifest unknown"):
        home.pull("app:1")
    assert home.types() == []


def test_a_pull_that_failed_is_hidden_and_continued(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO, THREE])
    missing = home.registry.documents["library/app"]["1"]

    def refuse(blob: Descriptor, _: Cancellation) -> None:
        if home.registry.blobs[blob.digest] == TWO:
            raise InvalidArgument("the registry lies")

    home.registry.before_fetch = refuse
    with pytest.raises(InvalidArgument, match="the registry lies"):
        home.pull("app:1")
    assert home.engine.services.images.list() == [] and home.types()[-1] == "image.pull_failed"
    with pytest.raises(NotFound):
        home.image(missing.digest)
    home.restart()
    home.check()
    fetched = len(home.registry.fetches)
    home.registry.before_fetch = lambda blob, cancellation: None
    home.pull("app:1")
    blobs = 3 + 1
    assert len(home.registry.fetches) == blobs >= fetched  # nothing came twice
    home.check()


def test_what_a_failed_pull_left_is_pruned(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    home.worker.errors["layer.unpack"] = InvalidArgument("a bomb")
    with pytest.raises(InvalidArgument, match="a bomb"):
        home.pull("app:1")
    del home.worker.errors["layer.unpack"]
    home.engine.services.image_removal.prune({}, CONTEXT)
    assert home.log.all("image") == home.log.all("layer") == [] and home.content.digests() == []
    home.check()


def test_a_client_that_leaves_ends_its_pull(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    reached = threading.Event()

    def wait(blob: Descriptor, cancellation: Cancellation) -> None:
        if home.registry.blobs[blob.digest] == TWO:
            reached.set()
            cancellation.wait(30)

    home.registry.before_fetch = wait
    failed: list[BaseException] = []

    def pull() -> None:
        try:
            home.pull("app:1")
        except Cancelled as error:
            failed.append(error)

    thread = threading.Thread(target=pull)
    thread.start()
    assert reached.wait(10)
    home.departed.set()
    thread.join(10)
    assert not thread.is_alive() and failed
    assert home.types()[-1] == "image.pull_failed"
    home.departed = threading.Event()
    home.registry.before_fetch = lambda blob, cancellation: None
    home.pull("app:1")
    assert len(home.registry.fetches) == 3
    home.check()


def test_closing_the_progress_ends_the_pull(home: Home) -> None:
    home.registry.add("library/app:1", [ONE])
    progress = home.pulling("app:1")
    assert next(progress).status == "Pulling from library/app"
    assert next(progress).status == "Pulling fs layer"
    progress.close()  # type: ignore[attr-defined]
    assert home.types()[-1] == "image.pull_failed"
    home.check()


def test_two_pulls_at_once_share_everything(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    home.registry.add("library/other:1", [ONE, TWO])
    together = threading.Barrier(2, timeout=20)
    errors: list[BaseException] = []

    def pull(name: str) -> None:
        try:
            together.wait()
            home.pull(name)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=pull, args=(name,)) for name in ("app:1", "other:1")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert home.image("app:1").id == home.image("other:1").id
    assert home.worker.count("layer.unpack") == 2 and len(home.registry.fetches) == 3
    assert home.types().count("image.pulled") == home.types().count("image.pulling") == 1
    home.check()


def test_a_pull_that_was_interrupted_is_settled_at_start(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    progress = home.pulling("app:1")
    while next(progress).status != "Pulling fs layer":
        pass
    assert home.log.all("image")[0].status == "pulling"
    crashed, home.engine = home.engine, home._start()  # the old one's threads and locks are left behind
    (image,) = home.log.all("image")
    assert (image.status, image.intents) == ("failed", ()) and "engine ended" in image.error
    home.pull("app:1")
    home.check()
    with pytest.raises(Unavailable):
        crashed.core.log.close()
        progress.close()  # type: ignore[attr-defined]


def test_a_pulled_image_in_the_making_is_not_removed_with_another(home: Home) -> None:
    """The layers of a pull under way are its own from the beginning."""
    home.registry.add("library/app:1", [ONE, TWO])
    home.registry.add("library/app:2", [ONE, THREE])
    home.pull("app:1")
    progress = home.pulling("app:2")
    told = [next(progress).status for _ in range(2)]
    assert told[-1] == "Already exists"
    home.remove("app:1")
    list(progress)
    assert (home.store.layer(home.image("app:2").chain_ids[0]) / "one").exists()
    home.check()


def test_an_image_that_is_being_pulled_is_not_created_meanwhile(home: Home) -> None:
    home.registry.add("library/app:1", [ONE])
    progress = home.pulling("app:1")
    next(progress), next(progress)
    (image,) = home.log.all("image")
    created = ImageCreated(image.id, image.chain_ids, 0, 0, "load")
    with pytest.raises(Conflict, match="being pulled"):
        home.engine.core.recorder.decide("image", image.id, CreateImage(created), CONTEXT)
    list(progress)
    home.check()


def test_layers_and_configuration_must_agree(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO], compressed=[ONE])
    with pytest.raises(InvalidArgument, match="has 1 layers but the image's configuration lists 2"):
        home.pull("app:1")
    assert home.types() == []


def test_a_layer_that_is_not_what_the_configuration_says_is_refused(home: Home) -> None:
    home.registry.add("library/app:1", [ONE], compressed=[gzip.compress(TWO, mtime=0)])
    with pytest.raises(InvalidArgument, match="diff ID"):
        home.pull("app:1")
    assert home.types()[-2:] == ["layer.unpack_failed", "image.pull_failed"]
    assert not list(home.store.layers.iterdir())


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python 3.14 or newer: it reads zstd")
def test_a_layer_in_zstd_is_refused_by_its_name_before_anything_is_fetched(home: Home) -> None:
    home.registry.add("library/app:1", [ONE], compressed=[ZSTD])
    documents = home.registry.documents["library/app"]
    document = documents["1"]
    documents["1"] = document._replace(body=document.body.replace(b"tar+gzip", b"tar+zstd"))
    with pytest.raises(NotSupported, match=f"layer 'sha256:{hashlib.sha256(ZSTD).hexdigest()}': zstd .* Python 3.14"):
        home.pull("app:1")
    assert home.registry.fetches == [] and home.types() == []


@pytest.mark.parametrize("name", ["../../escape", "a" * 100_000, "/etc/absolute", "one/../../../escape"])
def test_a_hostile_layer_touches_nothing_outside(home: Home, name: str) -> None:
    home.registry.add("library/app:1", [ONE, layer((name, b"bad"))])
    before = sorted(path.name for path in home.store.root.iterdir())
    with pytest.raises(InvalidArgument, match="entry") as refused:
        home.pull("app:1")
    assert len(str(refused.value)) < 1000
    assert home.types()[-1] == "image.pull_failed" and "layer.unpack_failed" in home.types()
    assert sorted(path.name for path in home.store.root.iterdir()) == before
    assert not Path("/etc/absolute").exists() and not (home.store.root / "escape").exists()
    home.check()


def test_the_same_layer_twice_in_one_image(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, ONE])
    home.pull("app:1")
    assert len(set(home.image("app:1").chain_ids)) == 2
    assert len(home.registry.fetches) == 2, "the blob once, the configuration once"
    home.check()


def test_an_image_without_layers(home: Home) -> None:
    home.registry.add("library/empty:1", [])
    home.pull("empty:1")
    assert list(home.image("empty:1").chain_ids) == []
    home.check()
