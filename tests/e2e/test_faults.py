"""Every named step of the registry, killed, failed and held while the daemon dies: afterwards the state is true.

For each step there is the shortest story that comes to it. Three things are done to it there: the process that comes
to the step is killed, the step fails with EIO, and the step is held while the daemon is killed. Then a daemon that is
let alone starts on the same data root, or goes on where the step only failed, and everything must be consistent,
settled, usable and clean.
"""

from __future__ import annotations

import socket
import subprocess
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import pytest

from engine.kernel.steps import STEPS

from support.census import cgroup_parent, network_tag, processes_of
from support.engine import Engine, running_engine
from support.log_reading import open_intents
from support.machine import ENGINE_NEEDS, cgroup_mounts, first_lack
from support.waiting import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.requires(*ENGINE_NEEDS)]

Command = tuple[str, ...]
RUN: Command = (
    "run", "-d", "--name", "web", "--network", "none", "-m", "32m", "-v", "data:/data", "base", "sleep", "99",
)  # fmt: skip

STORIES: dict[str, list[Command]] = {
    "import": [("import", "{other}", "other"), ("rmi", "other")],
    "build": [("build", "--no-cache", "--network", "none", "-t", "built", "{context}"), ("builder", "prune", "-f")],
    "failed": [("run", "--name", "web", "--network", "none", "base", "no-such-program")],
    "start": [RUN],
    "end": [RUN, ("kill", "web"), ("wait", "web"), ("rm", "-v", "web"), ("volume", "rm", "data")],
    "exec": [RUN, ("exec", "web", "true")],
    "signal": [RUN, ("stop", "-t", "0", "web")],
    "network": [
        ("network", "create", "net"),
        ("run", "-d", "--name", "web", "--network", "net", "-p", "127.0.0.1::80", "base", "sleep", "99"),
        ("rm", "-f", "web"), ("network", "rm", "net"),
    ],
    "namespaces": [
        RUN,
        ("run", "-d", "--name", "job", "--network", "none", "--pid", "container:web", "base", "sleep", "99"),
        ("run", "-d", "--name", "own", "--network", "none", "--userns", "remap", "--time-offset", "boottime=24h",
         "base", "sleep", "99"),
        ("rm", "-f", "own", "job", "web"), ("volume", "rm", "data"),
    ],
    "pause": [RUN, ("pause", "web"), ("unpause", "web")],
}

CASES: dict[str, str] = {
    "log.commit": "start",
    "content.write": "import",
    "content.rename": "import",
    "content.remove": "import",
    "layer.unpack": "import",
    "layer.sync": "import",
    "layer.rename": "import",
    "layer.remove": "import",
    "build.context": "build",
    "build.copy": "build",
    "volume.create": "start",
    "volume.fill": "start",
    "volume.remove": "end",
    "network.bridge": "network",
    "network.sysctl": "network",
    "network.firewall": "network",
    "network.hook": "network",
    "network.ports": "network",
    "network.veth": "network",
    "network.address": "network",
    "network.resolver": "network",
    "network.remove": "network",
    "container.remove": "end",
    "spawner.start": "start",
    "spawner.fork": "start",
    "shim.listen": "start",
    "shim.record": "start",
    "cgroup.create": "start",
    "cgroup.limit": "start",
    "cgroup.join": "start",
    "cgroup.kill": "failed",
    "cgroup.remove": "end",
    "namespace.join": "namespaces",
    "namespace.time": "namespaces",
    "userns.map": "namespaces",
    "init.clone": "start",
    "rootfs.overlay": "start",
    "rootfs.mounts": "start",
    "rootfs.devices": "start",
    "rootfs.pivot": "start",
    "rootfs.mask": "start",
    "process.identity": "start",
    "process.user": "start",
    "process.capabilities": "start",
    "process.seccomp": "start",
    "evidence.read": "start",
    "exec.start": "start",
    "exec.join": "exec",
    "signal.send": "signal",
    "freezer.freeze": "pause",
    "freezer.thaw": "pause",
}
"""Step -> the story that comes to it."""

ELSEWHERE = {"hooks.run", "layer.limit"}
"""Hooks, which no container of the daemon has (tests/oci/test_command.py has their cases), and limits of layers, which
take a file system with quotas (tests/e2e/test_storage_limits.py)."""


def test_every_step_has_its_case() -> None:
    assert set(CASES) | ELSEWHERE == set(STEPS)
    assert set(CASES.values()) <= set(STORIES)


INSIDE = ("rootfs.mask", "process.user", "process.capabilities", "process.seccomp", "exec.start")
"""Steps of an init that has its new root: no file of the host's can arm them or hold it there."""

ARMED_AT_START = ("spawner.start", *INSIDE)
LEFT_FOR_A_START = ("layer.remove",)
"""Steps whose failure leaves something on record that the next start takes away: here a tree that resists."""

TERMS = {"kill": "kill", "fail": "1*error(EIO)", "hold": "1*wait({held})"}


def switch(engine: Engine, step: str, what: str) -> Path:
    return engine.home / f"{step}-{what}"


def failpoints(engine: Engine, step: str, what: str) -> str:
    return f"{step}={TERMS[what].format(held=engine.home / 'held')}"


def all_failpoints(engine: Engine) -> str:
    """Each of them armed by a file of its own, so that a case needs no daemon that was started for it."""
    steps = [step for step in CASES if step not in ARMED_AT_START]
    held = engine.home / "held"
    return "; ".join(
        f"{step}=" + "->".join(f"{term.format(held=held)}@{switch(engine, step, what)}" for what, term in TERMS.items())
        for step in steps
    )


@pytest.fixture(scope="module")
def faulty_engine(rootfs: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """One data root for many cases: what one leaves behind, the next one meets. The daemon runs between them."""
    if (reason := first_lack(*ENGINE_NEEDS)) is not None:
        pytest.skip(reason)
    with running_engine(rootfs) as engine:
        engine.stop()
        engine.start(failpoints=all_failpoints(engine))
        yield engine
        if engine.daemon is None:
            engine.start()


def with_a_log_of(cases: str) -> pytest.MarkDecorator:
    """The cases that have a data root together. One for all of them would have so many events in the end that its
    verification takes longer than a case."""
    return pytest.mark.parametrize("faulty_engine", [cases], indirect=True)


@contextmanager
def armed(engine: Engine, step: str, what: str) -> Iterator[bool]:
    """What is to happen at the step happens while this lasts. Answers whether a daemon came up with it at all: it
    passes some steps itself while it starts. Afterwards there is none, unless the step only failed."""
    give_ranges(engine, CASES[step])
    switch(engine, step, what).touch()
    try:
        if step in ARMED_AT_START:
            engine.stop()
        yield engine.daemon is not None or start_armed(engine, failpoints(engine, step, what))
    finally:
        if what != "fail" or step in (*ARMED_AT_START, *LEFT_FOR_A_START):
            end_daemon(engine)
        switch(engine, step, what).unlink()


def play(engine: Engine, story: str) -> list[subprocess.CompletedProcess[str]]:
    """Type the story's commands; each must end in time, and none may crash the client."""
    done = []
    for command in STORIES[story]:
        arguments = [word.format(other=other_tarball(engine), context=build_context(engine)) for word in command]
        try:
            done.append(engine.docket(*arguments, check=False, timeout_s=30))
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{arguments} hung; daemon: {engine.log()}") from error
        assert "Traceback" not in done[-1].stderr, done[-1].stderr
    return done


def other_tarball(engine: Engine) -> Path:
    """An image with a layer of its own: one that base has already is not unpacked again."""
    path = engine.home / "other.tar"
    if not path.exists():
        with tarfile.open(path, "w") as archive:
            archive.add(__file__, "other")
    return path


def build_context(engine: Engine) -> Path:
    folder = engine.home / "context"
    if not folder.exists():
        folder.mkdir()
        (folder / "Dockerfile").write_text("FROM base\nCOPY . /copied/\nRUN touch /ran\n")
    return folder


def give_ranges(engine: Engine, story: str) -> None:
    """What --userns asks the host for; the daemon then has a mount namespace of its own, as in no other story."""
    ranges = engine.home / "ranges"
    ranges.write_text("docket:300000:65536\n")
    covers = {"/etc/subuid": ranges, "/etc/subgid": ranges} if story == "namespaces" else {}
    if engine.covers != covers:
        engine.stop()
        engine.covers = covers
        engine.start(failpoints=all_failpoints(engine))


def start_armed(engine: Engine, failpoints: str) -> bool:
    try:
        engine.start(failpoints=failpoints)
    except RuntimeError:
        engine.daemon = None
        return False
    return True


def end_daemon(engine: Engine) -> None:
    if engine.daemon is not None and engine.daemon.poll() is None:
        engine.kill()
    engine.daemon = None


def assert_settled_and_clean(engine: Engine) -> None:
    """Where nothing fails any more: intents closed, the log whole, ps true, work possible, nothing left."""
    if engine.daemon is None or engine.daemon.poll() is not None:
        engine.start(failpoints=all_failpoints(engine))
    eventually(lambda: not open_intents(engine.root), what="every intent has its outcome")
    assert engine.docket("audit", "verify", check=False).returncode == 0
    for item in engine.api("GET", "/containers/json?all=1").json:
        state = engine.inspect(item["Id"])["State"]
        assert state["Status"] in ("created", "running", "exited", "dead", "paused")
        assert (state["Pid"] > 0) == state["Running"]
        if state["Running"]:
            assert Path(f"/proc/{state['Pid']}/ns/pid").exists()
    engine.reset()
    for image in engine.api("GET", "/images/json?all=1").json:
        if "base:latest" not in (image["RepoTags"] or []):
            engine.api("DELETE", f"/images/{image['Id']}?force=1")
    engine.api("POST", "/build/prune")
    assert engine.run("--rm", "base", "echo", "works") == "works\n"
    eventually(lambda: assert_clean(engine))


def assert_clean(engine: Engine) -> bool:
    """Nothing of any container is left: no process, cgroup, mount or file."""
    assert not engine.shim_pids()
    assert len(processes_of(engine.home)) <= 5, "the daemon, its two spawners, a spare shim and its launcher"
    for point in set(cgroup_mounts().values()):
        parent = point / cgroup_parent(engine.home)
        assert not parent.exists() or not [path for path in parent.iterdir() if path.is_dir()]
    assert str(engine.home) not in Path("/proc/self/mountinfo").read_text()
    pairs = f"vd{network_tag(engine.home)[:4]}"
    assert not [name for _, name in socket.if_nameindex() if name.startswith((pairs, "br-"))]
    for folder in ("containers", "volumes", "content/ingest", "builds"):
        assert not list((engine.root / folder).glob("*")), folder
    assert len(list((engine.root / "layers").iterdir())) == 1, "the layer of base"
    return True


@with_a_log_of("deaths")
@pytest.mark.parametrize("step", CASES)
def test_the_process_at_the_step_is_killed(faulty_engine: Engine, step: str) -> None:
    with armed(faulty_engine, step, "kill") as is_up:
        if is_up:
            play(faulty_engine, CASES[step])
    assert_settled_and_clean(faulty_engine)


@with_a_log_of("failures")
@pytest.mark.parametrize("step", CASES)
def test_the_step_fails(faulty_engine: Engine, step: str) -> None:
    # once a process: a shim outlives the daemon, and must be able to end its container afterwards
    with armed(faulty_engine, step, "fail") as is_up:
        if is_up:
            for done in play(faulty_engine, CASES[step]):
                assert len(done.stderr.strip().splitlines()) <= 2, done.stderr
    assert_settled_and_clean(faulty_engine)


@with_a_log_of("delays")
@pytest.mark.parametrize("step", INSIDE)
def test_the_daemon_is_killed_while_a_step_inside_is_slow(faulty_engine: Engine, step: str) -> None:
    give_ranges(faulty_engine, CASES[step])
    faulty_engine.stop()
    faulty_engine.start(failpoints=f"{step}=1*delay(1500)")
    client = faulty_engine.spawn(*RUN)
    eventually(lambda: any("start" in kinds for kinds in open_intents(faulty_engine.root).values()))
    eventually(lambda: list((faulty_engine.root / "containers").glob("*/upper")), what="the launch is on its way")
    end_daemon(faulty_engine)
    client.communicate(timeout=30)
    assert_settled_and_clean(faulty_engine)


@with_a_log_of("delays")
@pytest.mark.parametrize("step", [step for step in CASES if step not in ARMED_AT_START])
def test_the_daemon_is_killed_while_the_step_is_held(faulty_engine: Engine, step: str) -> None:
    held = faulty_engine.home / "held"
    client: subprocess.Popen[str] | None = None
    said: tuple[str, ...] = ()
    try:
        with armed(faulty_engine, step, "hold"):
            for command in STORIES[CASES[step]]:
                if held.exists():
                    break
                places = {"other": other_tarball(faulty_engine), "context": build_context(faulty_engine)}
                client = faulty_engine.spawn(*(word.format(**places) for word in command))
                running = client
                eventually(lambda: held.exists() or running.poll() is not None, timeout_s=30)
                if not held.exists():
                    said += running.communicate()
            assert held.exists(), f"the story {CASES[step]!r} never came to {step}: {said}"
    finally:
        held.unlink(missing_ok=True)
        if client is not None:
            client.communicate(timeout=30)
    assert_settled_and_clean(faulty_engine)


@with_a_log_of("delays")
def test_a_shim_that_cannot_write_keeps_its_container(faulty_engine: Engine) -> None:
    """A full disk is no reason to end what runs."""
    engine = faulty_engine
    container = engine.docket("run", "-d", "--network", "none", "base", "sleep", "100").stdout.strip()
    full = switch(engine, "shim.record", "fail")
    full.touch()
    try:
        assert engine.docket("exec", container, "echo", "works").stdout == "works\n"
    finally:
        full.unlink()
    assert engine.inspect(container)["State"]["Status"] == "running"
    engine.docket("rm", "-f", container)


@with_a_log_of("delays")
def test_the_daemon_is_killed_while_it_starts_its_spawner(faulty_engine: Engine) -> None:
    held = faulty_engine.home / "held"
    faulty_engine.stop()
    faulty_engine.launch(failpoints=failpoints(faulty_engine, "spawner.start", "hold"))
    eventually(held.exists, timeout_s=30)
    end_daemon(faulty_engine)
    held.unlink()
    assert_settled_and_clean(faulty_engine)


@with_a_log_of("delays")
def test_every_step_may_be_slow(faulty_engine: Engine) -> None:
    give_ranges(faulty_engine, "end")
    faulty_engine.stop()
    faulty_engine.start(failpoints="; ".join(f"{step}=delay(20)" for step in STEPS))
    for story in ("import", "end", "exec"):
        for done in play(faulty_engine, story):
            assert done.returncode == 0, done.stderr
        faulty_engine.reset()
    end_daemon(faulty_engine)
    assert_settled_and_clean(faulty_engine)
