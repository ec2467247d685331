"""Pushes to a registry in memory: what is sent, what is not, and what is on record."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from engine.domain.errors import Conflict, InvalidArgument, NotFound, Unauthorized
from engine.images.manifests import Descriptor

from support.image_home import Home, ONE, THREE, TWO, imported, statuses


def test_what_came_from_a_registry_leaves_as_it_came(home: Home) -> None:
    packed = [gzip.compress(data, mtime=0) for data in (ONE, TWO)]
    digest = home.registry.add("library/app:1", [ONE, TWO], compressed=packed)
    home.pull("app:1")
    home.tag("app:1", "host:5000/team/app:2")
    told = home.push("host:5000/team/app:2")
    assert told[0].status == "The push refers to repository [host:5000/team/app]"
    size = len(home.registry.documents["library/app"]["1"].body)
    assert told[-1].status == f"2: digest: {digest} size: {size}"
    assert told[-1].aux == {"Tag": "2", "Digest": digest, "Size": size}
    assert statuses(told).count("Pushed") == 2
    assert home.registry.documents["team/app"]["2"].body == home.registry.documents["library/app"]["1"].body
    assert f"host:5000/team/app@{digest}" in home.image("app:1").references
    pushing, pushed = list(home.log.events())[-2:]
    assert (pushing.type, pushed.type) == ("image.pushing", "image.pushed")
    assert pushed.causation == f"event:{pushing.seq}" and pushed.data["uploaded_blobs"] == 3
    home.check()


def test_what_is_there_is_not_sent_again_and_what_lies_beside_is_mounted(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    home.pull("app:1")
    for name in ("host:5000/one:1", "host:5000/two:1"):
        home.tag("app:1", name)
        home.push(name)
    assert {path for _, path in home.registry.mounts} == {"one"} and len(home.registry.mounts) == 2
    told = statuses(home.push("host:5000/two:1"))
    assert told.count("Layer already exists") == 2 and "Pushed" not in told


def test_a_layer_that_was_imported_plain_is_packed_once(home: Home) -> None:
    imported(home, "made:1")
    home.push("made:1")
    (sent,) = [layer.digest for layer in home.engine.blobs.whole_manifest(home.image("made:1"))[1].layers]
    assert gzip.decompress(home.registry.blobs[sent]) == ONE
    first = home.registry.documents["library/made"]["1"].digest
    home.tag("made:1", "made:2")
    home.push("made:2")
    assert home.registry.documents["library/made"]["2"].digest == first
    assert home.worker.count("layer.compress") == 1
    home.check()
    home.restart()
    assert home.content.has(sent), "what was pushed is kept for the next push"


def test_what_was_pushed_can_be_pulled_by_its_digest(home: Home) -> None:
    image_id = imported(home, "made:1")
    home.push("made:1")
    digest = home.registry.documents["library/made"]["1"].digest
    home.remove("made:1")
    assert home.log.all("image") == [] and home.content.digests() == []
    home.pull(f"made@{digest}")
    assert home.image(f"made@{digest}").id == image_id


def test_every_tag(home: Home) -> None:
    imported(home, "made:1")
    imported(home, "made:2", TWO)
    imported(home, "other:1", THREE)
    home.push("made", every_tag=True)
    assert sorted(name for name in home.registry.documents["library/made"] if ":" not in name) == ["1", "2"]
    assert "library/other" not in home.registry.documents


def test_refusals_leave_no_trace(home: Home) -> None:
    imported(home, "made:1")
    events = len(home.types())
    with pytest.raises(NotFound, match="An image does not exist locally with the tag: host/made"):
        home.push("host/made:2")
    with pytest.raises(NotFound, match="tag does not exist: made:2"):
        home.push("made:2")
    with pytest.raises(NotFound, match="does not exist locally"):
        home.push("nothing", every_tag=True)
    with pytest.raises(InvalidArgument, match="cannot push a digest reference"):
        home.push("made@sha256:" + "0" * 64)
    assert len(home.types()) == events


def test_a_push_that_fails_is_on_record(home: Home) -> None:
    imported(home, "made:1")
    blobs = home.content.digests()

    def refuse(blob: Descriptor) -> None:
        raise Unauthorized("denied: requested access to the resource is denied")

    home.registry.before_push = refuse
    with pytest.raises(Unauthorized, match="denied"):
        home.push("made:1")
    last = list(home.log.events())[-1]
    assert last.type == "image.push_failed" and "denied" in last.data["reason"]
    assert set(home.content.digests()) <= {*blobs, home.image("made:1").id}, "what was packed for it has gone"
    home.registry.before_push = lambda blob: None
    home.push("made:1")
    home.check()


def test_an_image_is_not_removed_while_it_is_pushed(home: Home) -> None:
    imported(home, "made:1")
    progress = home.pushing("made:1")
    assert [next(progress).status for _ in range(2)][-1] == "Preparing"
    with pytest.raises(Conflict, match="being pushed"):
        home.remove("made:1")
    list(progress)
    home.remove("made:1")
    home.check()


def test_a_push_that_was_interrupted_is_settled_at_start(home: Home) -> None:
    imported(home, "made:1")
    progress: Any = home.pushing("made:1")
    [next(progress) for _ in range(2)]
    crashed, home.engine = home.engine, home._start()
    assert home.image("made:1").intents == () and home.types()[-1] == "image.push_failed"
    crashed.core.log.close()
    with pytest.raises(Exception, match="closed"):
        progress.close()
