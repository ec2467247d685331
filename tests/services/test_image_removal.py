"""Docker's rules of removal, reachability of layers and blobs, and prune."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import Conflict, NotFound
from engine.services.images import Images

from support.image_home import CONTEXT, Home, ONE, THREE, TWO, imported

PATIENCE_S = 0.2
"""So long a prune that has to wait is waited for, which costs a test that passes no more than that."""


def create(home: Home, image: str) -> str:
    body = {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    return home.engine.services.containers.create(body, None, CONTEXT)[0]


def prune(home: Home, **filters: Any) -> list[str]:
    """What went, images only."""
    removed, _ = home.engine.services.image_removal.prune(filters, CONTEXT)
    return [entry["Deleted"] for entry in removed if "Deleted" in entry]


def test_a_name_of_several_is_untagged_and_the_last_one_deletes(home: Home) -> None:
    image_id = imported(home, "app:1")
    chain_id = home.image("app:1").chain_ids[0]
    home.tag("app:1", "other:1")
    assert home.remove("app:1") == [{"Untagged": "app:1"}]
    assert home.remove("other:1") == [{"Untagged": "other:1"}, {"Deleted": image_id}, {"Deleted": chain_id}]
    assert home.content.digests() == []
    home.check()


def test_the_last_tag_of_a_repository_takes_its_digests_along(home: Home) -> None:
    digest = home.registry.add("library/app:1", [ONE])
    home.pull("app:1")
    home.tag("app:1", "other:1")
    assert home.remove("app:1") == [{"Untagged": "app:1"}, {"Untagged": f"app@{digest}"}]
    assert home.image("other:1").references == ("docker.io/library/other:1",)


def test_by_digest_only_that_name_goes(home: Home) -> None:
    digest = home.registry.add("library/app:1", [ONE])
    home.pull("app:1")
    assert home.remove(f"app@{digest}") == [{"Untagged": f"app@{digest}"}]
    assert home.image("app:1").references == ("docker.io/library/app:1",)
    home.pull(f"app@{digest}")
    home.remove("app:1")
    assert home.log.all("image") == []


def test_by_id_names_of_one_repository_go_too_and_of_several_only_by_force(home: Home) -> None:
    image_id = imported(home, "app:1")
    home.tag("app:1", "other:1")
    with pytest.raises(Conflict, match=r"unable to delete [0-9a-f]{12} \(must be forced\).*multiple repositories"):
        home.remove(image_id)
    home.remove("other:1")
    assert {"Deleted": image_id} in home.remove(image_id[7:19])
    imported(home, "app:1")
    home.tag("app:1", "other:1")
    home.remove(home.image("app:1").id, force=True)
    assert home.log.all("image") == []


def test_an_image_in_use_is_refused_and_forced_away_by_name_only(home: Home) -> None:
    image_id = imported(home, "app:1")
    container_id = create(home, "app:1")
    with pytest.raises(Conflict, match=rf'"app:1" \(must force\) - container {container_id[:12]} is using'):
        home.remove("app:1")
    with pytest.raises(Conflict, match=r"\(must be forced\) - image is being used by stopped container"):
        home.remove(image_id)
    home.tag("app:1", "other:1")
    assert home.remove("other:1") == [{"Untagged": "other:1"}]
    assert home.remove("app:1", force=True) == [{"Untagged": "app:1"}]
    assert home.image(image_id).references == () and home.engine.layers.all_stored(home.image(image_id).chain_ids)
    home.check()


def test_shared_layers_and_shared_blobs_survive(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    home.registry.add("library/app:2", [ONE, THREE])
    home.pull("app:1")
    home.pull("app:2")
    shared, own = home.image("app:1").chain_ids
    assert home.remove("app:1")[-1] == {"Deleted": own}
    assert home.engine.layers.is_stored(shared)
    home.check()
    home.pull("app:1")  # from blobs that are left, and those that went
    home.check()


def test_a_layer_that_can_not_be_removed_is_finished_at_start(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(home, "app:1")

    def refuse(folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(home.engine.trash, "throw", refuse)
    with pytest.raises(OSError):
        home.remove("app:1")
    assert home.types()[-2:] == ["layer.remove_failed", "image.removed"]
    home.restart()
    assert home.log.all("image") == home.log.all("layer") == []
    home.check()


def test_blobs_without_a_use_go_at_start(home: Home) -> None:
    imported(home, "app:1")
    before = set(home.content.digests())
    home.content.add(b"left by a crash between a blob and its event")
    home.restart()
    assert set(home.content.digests()) == before


def test_blobs_stay_while_something_arrives(home: Home) -> None:
    home.registry.add("library/app:1", [ONE, TWO])
    home.pull("app:1")
    image = home.image("app:1")
    blobs = set(home.content.digests())
    with home.engine.blobs.arriving():
        home.remove("app:1")
        assert set(home.content.digests()) == blobs
    assert home.content.digests() == [] and image.id in blobs


def test_a_layer_taken_away_while_an_image_comes_is_unpacked_again(home: Home) -> None:
    """An import of the same bytes finds the layer stored, and then its image is removed."""
    imported(home, "app:1")
    images, once = home.engine.services.images, []
    size_and_labels = images.size_and_labels

    def remove_meanwhile(*arguments: Any) -> Any:
        if not once:
            once.append(home.remove("app:1"))
        return size_and_labels(*arguments)

    images.size_and_labels = remove_meanwhile  # type: ignore[method-assign]
    imported(home, "app:2")
    assert once and (home.store.layer(home.image("app:2").chain_ids[0]) / "one").exists()
    home.check()


def test_prune_takes_what_has_no_tag_or_with_all_what_nobody_uses(home: Home) -> None:
    used = imported(home, "used:1", ONE)
    create(home, "used:1")
    dangling = imported(home, "app:1", TWO)
    tagged = imported(home, "app:1", THREE)
    assert prune(home, dangling=["true"])[0] == dangling
    assert prune(home) == []
    assert prune(home, dangling=["false"])[0] == tagged
    assert [image.id for image in home.log.all("image")] == [used]
    home.check()


def test_prune_filters(home: Home) -> None:
    home.registry.add("library/old:1", [ONE], config={"Labels": {"team": "a"}})
    home.registry.add("library/young:1", [TWO], created="2026-06-01T00:00:00Z")
    home.pull("old:1")
    home.pull("young:1")
    old, young = home.image("old:1").id, home.image("young:1").id
    middle_us = str(1_770_000_000_000_000)
    assert prune(home, dangling=["false"], label=["team=b"]) == []
    assert prune(home, **{"dangling": ["false"], "label!": ["team"], "until_us": [middle_us]}) == []
    assert prune(home, dangling=["false"], until_us=[middle_us])[0] == old
    assert prune(home, dangling=["false"])[0] == young


def test_what_is_not_there_is_named(home: Home) -> None:
    with pytest.raises(NotFound, match="^No such image: nope:latest$"):
        home.remove("nope")


def test_a_prune_takes_no_image_before_it_has_its_name(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    prunes = threading.Thread(target=lambda: prune(home))
    name = Images.name

    def name_while_somebody_prunes(*arguments: Any) -> bool:
        prunes.start()
        prunes.join(PATIENCE_S)
        return name(*arguments)

    monkeypatch.setattr(Images, "name", name_while_somebody_prunes)
    image_id = imported(home, "app:1")
    prunes.join()
    assert home.image("app:1").id == image_id
    home.check()
