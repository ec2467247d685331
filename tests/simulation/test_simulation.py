"""A thousand random commands with crashes between them; at the end the log, its projections and the kernel agree."""

from __future__ import annotations

import io
import random
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from engine.daemon import Engine, compose, recover
from engine.domain import restart_policy
from engine.domain.errors import EngineError
from engine.eventlog.log import Context, EventLog
from engine.images.content import ContentStore
from engine.images.references import Reference
from engine.images.registry.credentials import Credentials
from engine.services.ports import Store
from simulation.fakes import Crash, FakeRuntime, FakeTimers, SeededClock, SeededRandomness
from support.fake_registry import FakeDownloads, FakeRegistry
from support.fresh_log import place_empty_log

CONTEXT = Context({"door": "simulation", "uid": 0}, "request", "request:simulation")


class World:
    """A host with an engine on it: the engine can die, the host can reboot, the disk and the kernel stay."""

    def __init__(self, root: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.clock = SeededClock(self.dice)
        self.runtime = FakeRuntime(self.dice, self.clock)
        self.store = Store(root)
        self.store.make()
        place_empty_log(root)
        self.boot = 0
        self.crashes = 0
        self.registry = FakeRegistry()
        self.engine = self._start(rebooted=False)

    def _start(self, rebooted: bool) -> Engine:
        log = EventLog(self.store.root / "docket.db", clock=self.clock.now_us, boot_id=f"boot-{self.boot}")
        self.timers = FakeTimers(self.dice)
        engine = compose(
            log, self.runtime, self.store, self.store.root / "run", self.clock, SeededRandomness(self.dice),
            self.timers, client=self.registry,  # type: ignore[arg-type]
            downloads=FakeDownloads(ContentStore(self.store.root / "content")),  # type: ignore[arg-type]
        )  # fmt: skip
        self.runtime.on_message = engine.monitor.handle
        self.runtime.on_crash = log.close  # wakes whoever waits
        self.runtime.connected = True
        recover(engine, rebooted)
        return engine

    def restart(self, *, reboot: bool = False) -> None:
        """The engine's process ends anywhere; a new one starts on what is left."""
        self.runtime.connected = False
        self.runtime.settle()
        self.engine.core.log.close()
        if reboot:
            self.runtime.reboot()
            self.boot += 1
        probability, self.runtime.crash_probability = self.runtime.crash_probability, 0.0
        self.engine = self._start(rebooted=reboot)
        self.runtime.settle()
        self.runtime.crash_probability = probability

    def container(self) -> str:
        """Some container's id, or one that does not exist."""
        known = [container.id for container in self.engine.core.log.all("container")]
        return self.dice.choice(known) if known else "missing"

    def act(self) -> None:
        """One random command or accident."""
        action: Callable[[World], Any] = self.dice.choice(ACTIONS)
        try:
            action(self)
        except (EngineError, OSError):
            pass  # refused: the machines say when, and the state must be as before
        except Crash:
            pass
        self.runtime.settle()
        if not self.runtime.connected:
            self.crashes += 1
            self.restart()


def _import(world: World) -> None:
    stream = io.BytesIO(world.dice.randbytes(8))
    world.engine.services.archives.import_(
        stream, reference=world.dice.choice(("base", "other", None)), changes=['CMD ["sh"]'], message="",
        platform=None, source="-", context=CONTEXT,
    )  # fmt: skip


def _pull(world: World) -> None:
    """The registry has two images that share a layer, and moves a tag from one to the other."""
    name = world.dice.choice(("base", "other"))
    layers = [b"shared", world.dice.choice((b"one", b"two"))]
    world.registry.add(f"library/{name}:latest", [layer.ljust(512) for layer in layers])
    _drain(world, world.engine.services.pulls.pull(
        Reference.parse(name), platform=None, credentials=Credentials(), departed=threading.Event(), context=CONTEXT,
    ))  # fmt: skip


def _push(world: World) -> None:
    _drain(world, world.engine.services.pushes.push(
        Reference.parse(world.dice.choice(("base", "other"))), credentials=Credentials(), departed=threading.Event(),
        context=CONTEXT,
    ))  # fmt: skip


def _drain(world: World, notices: Iterator[Any]) -> None:
    """Follow the progress to its end, or leave on the way."""
    for _ in notices:
        if world.dice.random() < 0.05:
            notices.close()  # type: ignore[attr-defined]
            return


def _create(world: World) -> None:
    name = world.dice.choice((None, "web", "db", "job"))
    binds = world.dice.choice(([], ["data:/data"], ["/scratch"]))
    policy = world.dice.choice(("no", "no", "always", "unless-stopped", "on-failure"))
    remove = policy == "no" and world.dice.random() < 0.5
    body = {
        "Image": world.dice.choice(("base", "other")),
        "StopTimeout": 0,  # the clock stands still for who waits
        "Healthcheck": world.dice.choice((None, {"Test": ["CMD", "true"], "Retries": 1, "OnFailure": "restart"})),
        "HostConfig": {
            "Binds": binds, "AutoRemove": remove, "NetworkMode": "none", "RestartPolicy": {"Name": policy},
        },
    }  # fmt: skip
    world.engine.services.containers.create(body, name, CONTEXT)


def _exec(world: World) -> None:
    execs = world.engine.services.execs
    execs.start(execs.create(world.container(), {"Cmd": ["true"]}, CONTEXT), None, CONTEXT)


def _accident(world: World) -> None:
    """Something ends by itself: a container, an exec, a shim."""
    alive = [key for key, container in world.runtime.containers.items() if container.alive]
    if not alive:
        return
    chosen = world.dice.choice(sorted(alive))
    container = world.runtime.containers[chosen]
    match world.dice.randrange(4):
        case 0:
            world.runtime.lose_shim(chosen)
        case 1 if container.execs:
            world.runtime.end_exec(chosen, world.dice.choice(sorted(container.execs)), 3)
        case 2:
            world.runtime.on_message(chosen, {"type": "oom", "kills": 1})
        case _:
            world.runtime.end(chosen, world.dice.choice((0, 1, 143)))


ACTIONS: list[Callable[[World], Any]] = [
    _import, _pull, _pull, _push, _create, _create, _exec, _accident, _accident,
    lambda world: world.timers.fire(),
    lambda world: world.timers.fire(),
    lambda world: world.engine.services.lifecycle.start(world.container(), CONTEXT),
    lambda world: world.engine.services.lifecycle.start(world.container(), CONTEXT),
    lambda world: world.engine.services.lifecycle.start(world.container(), CONTEXT),
    lambda world: world.engine.services.lifecycle.stop(world.container(), 0, None, CONTEXT),
    lambda world: world.engine.services.lifecycle.restart(world.container(), 0, None, CONTEXT),
    lambda world: world.engine.services.lifecycle.kill(world.container(), "USR1", CONTEXT),
    lambda world: world.engine.services.lifecycle.kill(world.container(), "KILL", CONTEXT),
    lambda world: world.engine.services.lifecycle.pause(world.container(), CONTEXT),
    lambda world: world.engine.services.lifecycle.unpause(world.container(), CONTEXT),
    lambda world: world.engine.services.containers.rename(world.container(), "renamed", CONTEXT),
    lambda world: world.engine.services.lifecycle.remove(world.container(), context=CONTEXT),
    lambda world: world.engine.services.lifecycle.remove(world.container(), force=True, volumes=True, context=CONTEXT),
    lambda world: world.engine.services.volumes.create({"Name": "data"}, CONTEXT),
    lambda world: world.engine.services.volumes.remove("data", context=CONTEXT),
    lambda world: world.engine.services.volumes.prune({"all": ["true"]}, CONTEXT),
    lambda world: world.engine.services.images.tag("base", "other", CONTEXT),
    lambda world: world.engine.services.image_removal.remove("other", context=CONTEXT),
    lambda world: world.engine.services.image_removal.remove("base", force=True, context=CONTEXT),
    lambda world: world.engine.services.image_removal.prune({"dangling": ["false"]}, CONTEXT),
    lambda world: world.restart(),
    lambda world: world.restart(reboot=True),
]  # fmt: skip


def check(world: World) -> None:
    """After a recovery: no intent is open, log and kernel agree, files are there for what exists and nothing else."""
    log, store = world.engine.core.log, world.store
    for noun in ("container", "exec", "image", "layer", "volume"):
        for state in log.all(noun):
            assert state.intents == (), f"{noun} {state.id} has open intents {state.intents}"
    alive = {key for key, container in world.runtime.containers.items() if container.alive}
    assert {container.id for container in log.all("container") if container.alive} == alive
    forgotten = [container.id for container in log.all("container") if restart_policy.restarts_after_end(container)]
    assert not forgotten, "their policy wants them to run, and nothing is going to start them"
    known = {container.id for container in log.all("container")}
    assert {path.name for path in store.containers.iterdir()} <= known
    stored = {store.layer(layer.id).name for layer in log.all("layer") if layer.status == "stored"}
    assert {path.name for path in store.layers.iterdir()} == stored
    assert {path.name for path in store.volumes.iterdir()} == {volume.id for volume in log.all("volume")}
    assert world.engine.blobs.unwanted() == []
    for image in log.all("image"):
        if image.status == "failed":
            continue  # a pull's: what has come of it is there, the rest is not
        assert {store.layer(chain_id).name for chain_id in image.chain_ids} <= stored
    report = log.verify()
    assert report.problems == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # threads of a crashed engine
@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_commands_with_crashes_between_them(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    world.runtime.crash_probability = 0.15
    for _ in range(1000):
        world.act()
    world.restart()
    check(world)
    assert world.crashes > 5
    before = {noun: world.engine.core.log.all(noun) for noun in ("container", "exec", "image", "layer", "volume")}
    world.engine.core.log.rebuild()
    assert {noun: world.engine.core.log.all(noun) for noun in before} == before
    world.engine.core.log.close()
