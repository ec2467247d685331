"""The store against the log: every kind of damage is found, named, and mended where it can be."""

from __future__ import annotations

import os

import pytest

from engine.domain.errors import InvalidArgument
from support.image_home import CONTEXT, Home, ONE, TWO, imported


def fsck(home: Home, *, repair: bool = False) -> list[tuple[str, str, str]]:
    """(kind of object, what is wrong, what was done)."""
    report = home.engine.services.fsck.run(repair=repair, context=CONTEXT)
    assert report.is_whole == all(problem.repaired for problem in report.problems)
    return [(problem.object.split()[0], problem.what, problem.repaired) for problem in report.problems]


def test_a_whole_store_is_whole(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    home.pull("app:1")
    imported(home, "made:1")
    events = len(home.types())
    report = home.engine.services.fsck.run(repair=True, context=CONTEXT)
    assert report.is_whole and report.problems == [] and (report.layers, report.blobs) == (2, 5)
    assert len(home.types()) == events


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda path: path.write_bytes(b"eno"), "/one has another content"),
        (lambda path: path.unlink(), "/one is missing"),
        (lambda path: path.chmod(0o600), "/one has mode 0600 instead of 0644"),
        (lambda path: (path.parent / "two").write_bytes(b""), "/two does not belong there"),
        (lambda path: os.utime(path, (5, 5)), "/one has another time"),
        (lambda path: (path.unlink(), path.symlink_to("x")), "/one is of another type"),
    ],
)
def test_damage_to_a_layer_is_found_and_mended(home: Home, damage: object, what: str) -> None:
    imported(home, "made:1")
    path = home.store.layer(home.image("made:1").chain_ids[0]) / "one"
    damage(path)  # type: ignore[operator]
    assert fsck(home) == [("layer", what, "")]
    assert fsck(home, repair=True) == [("layer", what, "unpacked again from its blob")]
    assert path.read_bytes() == b"one" and fsck(home) == []
    assert [one for one in home.types() if one.startswith("layer.")][-3:] == [
        "layer.damaged", "layer.unpacking", "layer.stored"
    ]  # fmt: skip
    home.check()


def test_a_layer_without_tree_and_blob_is_to_be_pulled_again(home: Home) -> None:
    digest = home.registry.add("library/app:1", [ONE])
    home.pull("app:1")
    layer = home.log.get("layer", home.image("app:1").chain_ids[0])
    home.worker.run_job("tree.remove", {"path": str(home.store.layer(layer.id))})
    home.content.remove(layer.blob_digest)
    report = home.engine.services.fsck.run(repair=True, context=CONTEXT)
    assert not report.is_whole
    assert {tuple(problem.pull) for problem in report.problems} == {(f"app@{digest}",)}
    assert {tuple(problem.images) for problem in report.problems} == {("app:1",)}
    home.pull(f"app@{digest}")
    assert fsck(home) == []
    home.check()


def test_a_damaged_blob_goes_and_is_pulled_again(home: Home) -> None:
    digest = home.registry.add("library/app:1", [ONE])
    home.pull("app:1")
    layer = home.log.get("layer", home.image("app:1").chain_ids[0])
    home.content.path(layer.blob_digest).write_bytes(b"rotten")
    assert fsck(home) == [("blob", "is damaged", "")]
    assert fsck(home, repair=True) == [("blob", "is damaged", "")]
    assert not home.content.has(layer.blob_digest)
    assert fsck(home) == [("blob", "is missing", "")]
    home.remove("app:1")
    home.pull(f"app@{digest}")
    assert fsck(home) == []


def test_what_belongs_to_nothing_is_removed(home: Home) -> None:
    imported(home, "made:1")
    (home.store.layers / ("f" * 64)).mkdir()
    home.content.add(b"stray")
    assert fsck(home) == [("blob", "is of no use", ""), ("tree", "belongs to no layer", "")]
    assert {done for _, _, done in fsck(home, repair=True)} == {"removed"}
    assert fsck(home) == []
    home.check()


def test_a_layer_that_a_pull_could_not_unpack_is_no_damage_to_the_store(home: Home) -> None:
    home.registry.add("library/app:1", [ONE])
    home.worker.errors["layer.unpack"] = InvalidArgument("a bomb")
    with pytest.raises(InvalidArgument, match="a bomb"):
        home.pull("app:1")
    assert fsck(home) == []
