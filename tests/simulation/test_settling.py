"""What nobody waits for is on record all the same: unreachable shims, stops given up, what goes with a container."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any, Iterator

import pytest

from engine.domain.container import ContainerRemoved, Status
from engine.domain.errors import EngineError, Unavailable
from engine.runtime.supervisor import LaunchFailed
from simulation.test_simulation import CONTEXT, World
from support.waiting import eventually


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An engine on fakes, without crashes of its own, with the image ``base``."""
    world = World(tmp_path, 1)
    world.runtime.crash_probability = 0.0
    world.engine.services.archives.import_(
        io.BytesIO(b"archive"), reference="base", changes=['CMD ["sh"]'], message="", platform=None, source="-",
        context=CONTEXT,
    )  # fmt: skip
    yield world
    world.engine.core.log.close()


def created(world: World, **host: Any) -> str:
    body = {"Image": "base", "HostConfig": {"NetworkMode": "none", **host}}
    return world.engine.services.containers.create(body, None, CONTEXT)[0]


def running(world: World, **host: Any) -> str:
    container_id = created(world, **host)
    while True:
        try:
            world.engine.services.lifecycle.start(container_id, CONTEXT)
        except LaunchFailed:
            continue  # the fake's dice
        return container_id


def types(world: World, container_id: str) -> list[str]:
    return [recorded.type for recorded in world.engine.core.log.trail("container", container_id)]


def test_a_shim_that_lives_and_cannot_be_reached_is_on_record(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    container_id = running(world)

    def adopt(*_: str) -> Any:
        raise Unavailable("the shim lives and does not answer")

    monkeypatch.setattr(world.runtime, "adopt", adopt)
    world.restart()
    last = world.engine.core.log.trail("container", container_id)[-1]
    assert last.type == "container.troubled"
    assert (last.data["during"], last.data["reason"]) == ("recovery", "the shim lives and does not answer")
    assert world.engine.core.log.get("container", container_id).status is Status.RUNNING


def test_a_stop_that_cannot_be_resumed_has_its_outcome(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    container_id = running(world)

    def signal(*_: Any) -> None:
        raise EngineError("the shim does not answer")

    def crash(*_: Any) -> None:
        world.runtime.connected = False
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(world.runtime, "signal", crash)
        with pytest.raises(SystemExit):
            world.engine.services.lifecycle.stop(container_id, None, None, CONTEXT)
    monkeypatch.setattr(world.runtime, "signal", signal)
    world.restart()
    eventually(lambda: types(world, container_id)[-1] == "container.stop_failed", what="the outcome of the stop")
    assert world.engine.core.log.get("container", container_id).status is Status.RUNNING


def test_anonymous_volumes_go_before_their_container(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the two leaves a removal that is done again, and not a volume that nobody knows of."""
    container_id = created(world, Binds=["/scratch", "data:/data"])
    state = world.engine.core.log.get("container", container_id)
    record = world.engine.core.recorder.record

    def crash(noun: str, identifier: str, event: Any, context: Any) -> Any:
        if isinstance(event, ContainerRemoved):
            world.runtime.connected = False
            raise SystemExit
        return record(noun, identifier, event, context)

    monkeypatch.setattr(world.engine.core.recorder, "record", crash)
    with pytest.raises(SystemExit):
        world.engine.services.lifecycle.remove(container_id, volumes=True, context=CONTEXT)
    log = world.engine.core.log
    assert [volume.id for volume in log.all("volume")] == ["data"]
    assert log.get("container", container_id).status is Status.REMOVING
    world.restart()
    assert world.engine.core.log.get("container", container_id) is None
    assert len(state.anonymous_volumes) == 1


def test_a_volume_that_another_container_mounts_by_name_stays(world: World) -> None:
    first = created(world, Binds=["/scratch"])
    (name,) = world.engine.core.log.get("container", first).anonymous_volumes
    created(world, Binds=[f"{name}:/other"])
    world.engine.services.lifecycle.remove(first, volumes=True, context=CONTEXT)
    assert world.engine.core.log.get("container", first) is None
    assert world.engine.core.log.get("volume", name) is not None


def test_files_of_a_removed_container_leave_their_place_at_once_and_the_disk_later(world: World) -> None:
    container_id = running(world)
    world.runtime.end(container_id, 0)
    world.runtime.settle()
    folder = world.store.container(container_id)
    (folder / "upper").mkdir(exist_ok=True)
    world.engine.services.lifecycle.remove(container_id, context=CONTEXT)
    assert not folder.exists() and [thrown.stem for thrown in world.store.trash.iterdir()] == [container_id]
    world.timers.fire()
    assert not list(world.store.trash.iterdir())


def test_what_a_power_cut_brings_back_of_a_removed_container_goes_at_the_start(world: World) -> None:
    """A rename into the trash need not have reached the disk when the removal did."""
    back, foreign = world.store.containers / ("5f" * 32), world.store.containers / "notes-of-the-administrator"
    for folder in (back, foreign):
        folder.mkdir()
        (folder / "file").write_text("x")
    world.restart()
    assert not back.exists() and foreign.exists()


def test_a_random_name_that_somebody_else_got_meanwhile_is_chosen_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = world.engine.core.log
    taken = log.get("container", created(world)).name
    chosen = iter([taken, "free_name"])
    monkeypatch.setattr("engine.services.containers.random_name", lambda *about: next(chosen))
    assert log.get("container", created(world)).name == "free_name"


def test_a_container_that_is_stuck_holds_up_no_list(world: World) -> None:
    """R10: what reads takes no container's lock, so that ps and inspect answer while one hangs in the kernel."""
    services, stuck = world.engine.services, running(world)
    seen: list[list[str]] = []

    def look() -> None:
        seen.append([view.state.id for view in services.containers.list(as_of=None)])
        seen.append([services.containers.get(stuck).state.id])

    with world.engine.core.recorder.exclusive(f"container/{stuck}"):
        reader = threading.Thread(target=look, daemon=True)
        reader.start()
        reader.join(10)
        assert seen == [[stuck], [stuck]]
