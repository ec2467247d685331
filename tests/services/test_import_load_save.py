"""Import, load and save through the services: images there and back, and nothing left of what failed."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import threading
from typing import Any, Sequence

import pytest

from engine.domain.errors import InvalidArgument, NotFound

from support.image_home import CONTEXT, Home, ONE, TWO, imported, layer, statuses


def save(home: Home, *names: str) -> bytes:
    return b"".join(home.engine.services.archives.save(names, CONTEXT))


def load(home: Home, archive: bytes) -> list[str]:
    return [line["stream"].strip() for line in home.engine.services.archives.load(io.BytesIO(archive), CONTEXT)]


def saved_tags(archive: bytes) -> list[Any]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        return [image["RepoTags"] for image in json.load(file)]


def test_what_is_saved_comes_back_the_same(home: Home) -> None:
    packed = [gzip.compress(data, mtime=0) for data in (ONE, TWO)]
    digest = home.registry.add("library/app:1", [ONE, TWO], compressed=packed)
    home.pull("app:1")
    image_id = home.image("app:1").id
    archive = save(home, "app:1")
    home.remove("app:1")
    assert load(home, archive) == ["Loaded image: app:1"]
    image = home.image("app:1")
    assert (image.id, image.manifest_digest, image.origin) == (image_id, digest, "load")
    home.check()
    home.push("app:1")
    assert home.registry.documents["library/app"]["1"].digest == digest, "the manifest came along"
    assert "image.saved" in home.types()


def test_the_layers_of_a_loaded_image_are_unpacked_side_by_side(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    home.pull("app:1")
    archive = save(home, "app:1")
    home.remove("app:1")
    together, run = threading.Barrier(2, timeout=20), home.worker.run_job

    def run_together(name: str, arguments: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        if name == "layer.unpack":
            together.wait()
        return run(name, arguments, fds)

    monkeypatch.setattr(home.worker, "run_job", run_together)
    assert load(home, archive) == ["Loaded image: app:1"]
    home.check()


def test_save_takes_names_ids_and_whole_repositories(home: Home) -> None:
    first = imported(home, "app:1")
    imported(home, "app:2", TWO)
    home.tag("app:1", "other:1")
    assert saved_tags(save(home, "app")) == [["app:1"], ["app:2"]]
    assert saved_tags(save(home, "app:1", "other:1")) == [["app:1", "other:1"]]
    assert saved_tags(save(home, first)) == saved_tags(save(home, first[7:15])) == [None]
    with pytest.raises(NotFound, match="No such image: nope:latest"):
        home.engine.services.archives.save(["app:1", "nope"], CONTEXT)


def test_a_load_writes_nothing_but_blobs(home: Home) -> None:
    imported(home, "app:1")
    archive = save(home, "app:1")
    home.remove("app:1")
    load(home, archive)
    assert not list((home.store.root / "content" / "ingest").iterdir())
    assert archive not in [home.content.read(digest) for digest in home.content.digests()]
    home.check()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["", "gz", "bz2", "xz"])
def test_every_import_can_be_pushed(home: Home, pack: Any) -> None:
    imported(home, "app:1", pack(ONE))
    home.push("app:1")
    assert statuses(home.pull("app:1"))[-1] == "Status: Image is up to date for app:1"
    home.check()


def test_a_load_that_fails_leaves_nothing(home: Home) -> None:
    imported(home, "good:1", ONE)
    imported(home, "bad:1", TWO)
    archive = save(home, "good:1", "bad:1")
    for name in ("good:1", "bad:1"):
        home.remove(name)
    before = len(home.types())
    home.worker.errors["layer.unpack"] = OSError(28, "No space left on device")
    with pytest.raises(OSError):
        load(home, archive)
    assert "layer.unpack_failed" in home.types()[before:]
    assert home.log.all("image") == home.log.all("layer") == [] and home.content.digests() == []
    home.check()


def test_a_load_that_is_cut_off_says_so(home: Home) -> None:
    imported(home, "app:1", layer(("big", bytes(1 << 20))))
    archive = save(home, "app:1")
    with pytest.raises(InvalidArgument):
        load(home, archive[: len(archive) // 2])

    class Leaving(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 100_000:
                raise ConnectionError("the client left")
            return super().read(size)

    with pytest.raises(ConnectionError):
        list(home.engine.services.archives.load(Leaving(archive), CONTEXT))
    home.check()
