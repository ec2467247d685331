"""What nobody waits for is on record all the same: unreachable shims, stops given up, what goes with a container."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any, Iterator

import pytest

from engine.domain.build import BuildFailed, BuildStarted, StartBuild
from engine.domain.container import ContainerRemoved, Status
from engine.domain.errors import Conflict, EngineError, NotFound, Unavailable
from engine.runtime.attachment import Attachment
from engine.runtime.failures import LaunchFailed
from engine.services import volumes
from engine.services.ports import SystemClock
from engine.services.waits import Waiter
from simulation.fakes import Crash
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


def test_a_defect_in_the_middle_of_a_start_is_its_outcome(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the container would be starting for as long as the engine lives; and a volume it had begun to fill is as
    fresh as before."""
    container_id = created(world, Binds=["data:/data"])
    folder = world.store.volume("data")

    def launch(plan: dict[str, Any], *_: Any) -> Any:
        assert plan["fill"] == ["/data"]
        (folder / "half").write_text("x")
        raise KeyError("Soft")

    monkeypatch.setattr(world.runtime, "launch", launch)
    with pytest.raises(KeyError):
        world.engine.services.lifecycle.start(container_id, CONTEXT)
    last = world.engine.core.log.trail("container", container_id)[-1]
    assert (last.type, last.data["reason"]) == ("container.start_failed", "KeyError: 'Soft'")
    assert not list(folder.iterdir()) and list(folder.parent.iterdir()) == [folder]
    world.engine.services.lifecycle.remove(container_id, context=CONTEXT)


def test_who_is_just_ending_can_be_killed_and_removed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lifecycle, container_id = world.engine.services.lifecycle, running(world)

    def signal(container_id: str, number: int) -> None:
        world.runtime.end(container_id, 0)
        raise NotFound("no shim answers")

    monkeypatch.setattr(world.runtime, "signal", signal)
    lifecycle.kill(container_id, "SIGKILL", CONTEXT)
    assert "container.kill_failed" in types(world, container_id)
    with pytest.raises(Conflict, match="is not running"):
        lifecycle.kill(running(world), "SIGHUP", CONTEXT)
    other = running(world)
    lifecycle.remove(other, force=True, context=CONTEXT)
    assert world.engine.core.log.get("container", other) is None


def test_rules_that_cannot_be_written_keep_no_container(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    container_id = running(world, RestartPolicy={"Name": "always"})

    def gone(_: Any) -> None:
        raise OSError(28, "No space left on device")

    endpoints = world.engine.monitor._endpoints
    monkeypatch.setattr(endpoints, "attached", lambda _: ["an endpoint"])
    monkeypatch.setattr(endpoints, "gone", gone)
    world.runtime.end(container_id, 0)
    world.runtime.settle()
    assert types(world, container_id)[-3:] == [
        "container.exited", "container.troubled", "container.restart_scheduled"
    ]  # fmt: skip


def test_who_leaves_while_it_attaches_costs_no_descriptor(world: World) -> None:
    reader, writer = os.pipe()

    def announce() -> None:
        raise ConnectionResetError("the client left")

    attachment = Attachment(writer, stdin=False, stdout=True, stderr=False, framed=False)
    with pytest.raises(ConnectionResetError):
        world.engine.services.containers.attach(running(world), attachment, CONTEXT, announce=announce)
    assert os.read(reader, 1) == b"", "nobody holds the other end"
    os.close(reader)


def test_a_patience_beyond_all_clocks(world: World) -> None:
    container_id = running(world)
    with Waiter(world.engine.core.log, SystemClock(), container_id, "not-running") as waiter:
        ending = threading.Timer(0.05, world.runtime.end, (container_id, 0))
        ending.start()
        assert waiter.result(1e30) == {"StatusCode": 0}
        ending.join()
    world.runtime.settle()


def test_what_resists_in_the_trash_keeps_no_engine_from_starting(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (world.store.trash / "stuck").mkdir()
    run_job = world.runtime.run_job

    def refuse(name: str, arguments: dict[str, Any], fds: Any = ()) -> dict[str, Any]:
        if name == "tree.remove":
            raise PermissionError(1, "Operation not permitted", arguments["path"])
        return run_job(name, arguments, fds)

    monkeypatch.setattr(world.runtime, "run_job", refuse)
    world.restart()
    assert world.engine.services.images.list() and "stuck stays: " in capsys.readouterr().err


def test_a_layer_that_resists_holds_up_no_image(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    services, log = world.engine.services, world.engine.core.log
    (image,) = log.all("image")

    def refuse(folder: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(folder))

    with monkeypatch.context() as patch:
        patch.setattr(world.engine.trash, "throw", refuse)
        with pytest.raises(PermissionError):
            services.image_removal.remove("base", context=CONTEXT)
    assert log.get("image", image.id) is None and log.trail("image", image.id)[-1].type == "image.removed"
    assert [layer.status for layer in log.all("layer")] == ["failed"]
    world.restart()
    assert not world.engine.core.log.all("layer")


def test_files_of_a_container_that_is_just_ending_are_read_at_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is gone, and the daemon has not heard of it yet."""
    container_id = running(world)
    roots: list[dict[str, Any]] = []

    def run_job(name: str, arguments: dict[str, Any], fds: Any = ()) -> dict[str, Any]:
        roots.append(arguments["root"])
        if len(roots) > 2:
            world.runtime.end(container_id, 0)
        if "pid" in roots[-1]:
            raise ProcessLookupError(3, "the container has ended")
        return {"name": "x"}

    monkeypatch.setattr(world.runtime, "run_job", run_job)
    assert world.engine.services.files.stat(container_id, "/x") == {"name": "x"}
    assert ["pid" in root for root in roots] == [True, True, True, False]


def test_a_prune_leaves_the_containers_of_a_build_that_runs(world: World) -> None:
    """They stand still while their layer is made of them."""
    core, services = world.engine.core, world.engine.services
    core.recorder.decide("build", "b" * 64, StartBuild(BuildStarted("b" * 64, [], "Dockerfile", "", "", 0)), CONTEXT)
    body = {"Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    kept = services.containers.create_for_build(body, [], "base", "b" * 64, CONTEXT)
    gone = created(world)
    assert services.lifecycle.prune({}, CONTEXT)[0] == [gone]
    core.recorder.record("build", "b" * 64, BuildFailed("b" * 64, "refused", 1), CONTEXT)
    assert services.lifecycle.prune({}, CONTEXT)[0] == [kept]


def test_no_exec_begins_in_a_container_that_was_paused_meanwhile(world: World) -> None:
    container_id, services = running(world), world.engine.services
    exec_id = services.execs.create(container_id, {"Cmd": ["true"]}, CONTEXT)
    services.lifecycle.pause(container_id, CONTEXT)
    with pytest.raises(Conflict, match="is paused, unpause the container before exec"):
        services.execs.start(exec_id, None, CONTEXT)
    services.lifecycle.unpause(container_id, CONTEXT)
    services.execs.start(exec_id, None, CONTEXT)


def test_who_ends_while_it_is_connected_is_no_failure_of_the_engines(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    container_id = running(world, NetworkMode="bridge")
    pid = world.engine.core.log.get("container", container_id).pid
    network_id, _ = world.engine.services.networks.create({"Name": "app"}, CONTEXT)

    def ended(*_: Any) -> None:
        raise FileNotFoundError(2, "No such file or directory", f"/proc/{pid}/ns/net")

    connections = world.engine.services.network_connections
    monkeypatch.setattr(world.runtime, "run_job", ended)
    monkeypatch.setattr(connections, "_namespace", lambda container: {"pid": container.pid, "inode": 1})
    with pytest.raises(Conflict, match="ended while it was being connected"):
        connections.connect("app", container_id, {}, CONTEXT)
    assert not world.engine.core.log.endpoints_of_network(network_id)


def test_who_is_removed_while_its_changes_are_read_is_no_failure_of_the_engines(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for read in (
        lambda one: list(world.engine.services.commits.changes(one)),
        lambda one: world.engine.services.commits.commit(
            one, target=None, config={}, changes=[], author="", comment="", pause=False, context=CONTEXT
        ),
    ):
        container_id = created(world)
        (world.engine.core.store.container(container_id) / "upper").mkdir(parents=True)

        def gone(*_: Any, one: str = container_id) -> None:
            world.engine.services.lifecycle.remove(one, context=CONTEXT)
            raise FileNotFoundError(2, "No such file or directory", "upper")

        with monkeypatch.context() as patch:
            patch.setattr(world.runtime, "run_job", gone)
            with pytest.raises(Conflict, match="was removed while its files were read"):
                read(container_id)


def test_an_exec_that_its_container_and_the_engine_left_in_the_middle_has_an_outcome(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container's end is on record, and the engine dies before it could write what that made of the exec."""
    container_id, execs = running(world), world.engine.services.execs
    exec_id = execs.create(container_id, {"Cmd": ["true"]}, CONTEXT)

    def ended(*_: Any) -> None:
        world.runtime.end(container_id, 3)
        world.runtime.settle()
        raise Crash

    monkeypatch.setattr(world.runtime, "exec", ended)
    with pytest.raises(Crash):
        execs.start(exec_id, None, CONTEXT)
    assert world.engine.core.log.get("container", container_id).status is Status.EXITED
    world.restart()
    assert world.engine.core.log.get("exec", exec_id).status == "failed"


def test_what_an_earlier_daemon_asked_of_a_shim_is_told_to_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    container_id = running(world)
    ids = [world.engine.services.execs.create(container_id, {"Cmd": ["true"]}, CONTEXT) for _ in range(3)]

    def crash(*_: Any) -> None:
        raise Crash

    monkeypatch.setattr(world.runtime, "exec", crash)
    for exec_id in ids:
        with pytest.raises(Crash):
            world.engine.services.execs.start(exec_id, None, CONTEXT)
    starting = [{"type": "adopted", "starting": ids[:2]}]
    monkeypatch.setattr(world.runtime, "adopt", lambda *_: starting)
    world.restart()

    def states() -> list[str]:
        return [world.engine.core.log.get("exec", exec_id).status for exec_id in ids]

    assert states() == ["starting", "starting", "failed"]
    monitor = world.engine.monitor
    monitor.handle(container_id, {"type": "exec_started", "exec_id": ids[0], "pid": 7, "started_at_us": 1})
    error = {"step": "exec.start", "message": "no such file", "errno": 2, "exit_code": 127}
    monitor.handle(container_id, {"type": "exec_failed", "exec_id": ids[1], "error": error})
    assert states() == ["running", "failed", "failed"]
    (started,) = [one for one in world.engine.core.log.trail("exec", ids[0]) if one.type == "exec.started"]
    (intent,) = [one for one in world.engine.core.log.trail("exec", ids[0]) if one.type == "exec.starting"]
    assert started.causation == f"event:{intent.seq}"


def test_a_volume_that_never_came_to_be_is_no_hindrance(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log may have one whose name is too long for any folder."""
    monkeypatch.setattr(volumes, "check_volume_name", lambda name: name)
    with pytest.raises(OSError):
        world.engine.services.volumes.create({"Name": "v" * 300}, CONTEXT)
    world.engine.services.volumes.create({"Name": "good"}, CONTEXT)
    world.restart()
    assert set(world.engine.services.system.disk_usage()["volume_bytes"]) == {"good"}
