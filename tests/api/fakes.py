"""Services in memory: the real machines of the domain, a list as the log, and no kernel."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, Callable, Iterator, Mapping, Sequence

from engine.domain import container as containers, container_commands as commands
from engine.domain import exec as execs
from engine.domain import image as images
from engine.domain import volume as volumes
from engine.domain.errors import Conflict, Forbidden, InvalidArgument, NotFound, NotModified, Unauthorized
from engine.domain.machine import Event
from engine.domain.nouns import NOUNS
from engine.images.manifests import Platform
from engine.images.registry.credentials import Credentials
from engine.images.registry.transfers import SearchResult
from engine.services.operations import Notice

START_US = 1_700_000_000_000_000
IMAGE_ID = "sha256:" + "ab" * 32


@dataclass(frozen=True)
class Context:
    """Takes the place of the log's: the same three fields."""

    actor: Mapping[str, Any]
    correlation: str
    causation: str


@dataclass(frozen=True)
class Attachment:
    """Takes the place of the runtime's: the same fields."""

    fd: int
    stdin: bool
    stdout: bool
    stderr: bool
    framed: bool
    detach_keys: bytes = b""
    early: bytes = b""


@dataclass(frozen=True)
class Recorded:
    """One event of the log, as the API reads it."""

    seq: int
    stream: str
    version: int
    event: Event
    time_us: int
    actor: Mapping[str, Any]
    correlation: str
    causation: str
    boot_id: str = "boot"
    prev_hash: str = "00"
    hash: str = "11"

    @property
    def type(self) -> str:
        return self.event.TYPE

    @property
    def schema(self) -> int:
        return self.event.SCHEMA

    @property
    def data(self) -> dict[str, Any]:
        return {name: getattr(self.event, name) for name in self.event.__slots__}


class Log:
    """Records, current states, and a clock that advances by a second with every event."""

    def __init__(self) -> None:
        self.records: list[Recorded] = []
        self.states: dict[str, dict[str, Any]] = defaultdict(dict)
        self.changed = threading.Condition()
        self.now_us = START_US

    def clock(self) -> int:
        return self.now_us

    def append(self, noun: str, identifier: str, event: Event, context: Context) -> None:
        stream = f"{noun}/{identifier}"
        with self.changed:
            self.now_us += 1_000_000
            version = 1 + sum(record.stream == stream for record in self.records)
            folded = NOUNS[noun].evolve(self.states[noun].get(identifier), event)
            self.states[noun][identifier] = folded
            self.records.append(
                Recorded(
                    len(self.records) + 1, stream, version, event, self.now_us,
                    context.actor, context.correlation, context.causation,
                )
            )  # fmt: skip
            if folded.status == "removed":
                del self.states[noun][identifier]
            self.changed.notify_all()

    def wait_for(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        with self.changed:
            return self.changed.wait_for(ready, timeout_s)

    def find(self, noun: str, ref: str, what: str) -> Any:
        ref = ref.removeprefix("/")
        found = [
            state
            for state in self.states[noun].values()
            if ref in (state.id, getattr(state, "name", "")) or (ref and state.id.startswith(ref))
        ]
        if not found:
            raise NotFound(f"no such {what}: {ref}")
        return found[0]


@dataclass
class ContainerView:
    state: containers.Container
    config: dict[str, Any]
    host_config: dict[str, Any]
    directory: Path
    mounts: list[dict[str, Any]] = field(default_factory=list)
    exec_ids: tuple[str, ...] = ()
    evidence: dict[str, Any] | None = None
    endpoints: tuple[Any, ...] = ()
    link_names: tuple[str, ...] = ()

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.state.id}-json.log"

    def size(self) -> tuple[int, int]:
        return 5, 1005


class Waiter:
    """Waits on the log as the real one does."""

    def __init__(self, log: Log, container_id: str) -> None:
        self._log, self._id = log, container_id
        self.closed = False

    def result(self, timeout_s: float | None = None) -> dict[str, Any] | None:
        def ended() -> bool:
            state = self._log.states["container"].get(self._id)
            return state is None or state.status == "exited"

        if not self._log.wait_for(ended, timeout_s or 60):
            return None
        state = self._log.states["container"].get(self._id)
        return {"StatusCode": state.exit_code if state else 0}

    def close(self) -> None:
        self.closed = True


class Containers:
    def __init__(self, log: Log, folder: Path) -> None:
        self._log, self._folder = log, folder
        self.bodies: dict[str, dict[str, Any]] = {}
        self.output: list[tuple[str, bytes]] = [("stdout", b"out\n"), ("stderr", b"err\n")]
        self.attachments: list[Attachment] = []
        self.attach_error: Exception | None = None
        self.waiters: list[Waiter] = []
        self.resized: list[tuple[str, int, int]] = []
        self.log_questions: list[dict[str, Any]] = []
        self.log_ends: list[str] = []

    def create(self, body: dict[str, Any], name: str | None, context: Context) -> tuple[str, list[str]]:
        if body.get("Image") not in ("base", "base:latest", IMAGE_ID):
            raise NotFound(f"No such image: {body.get('Image')}")
        number = 1 + len(self.bodies)
        name = name or f"name{number}"
        if any(state.name == name for state in self._log.states["container"].values()):
            raise Conflict(f'Conflict. The container name "/{name}" is already in use')
        container_id = f"{number:02x}" * 32
        self.bodies[container_id] = body
        binds = (body.get("HostConfig") or {}).get("Binds") or []
        created = containers.ContainerCreated(
            container_id, name, IMAGE_ID, body["Image"], "sha256:config", body.get("Cmd") or ["sh"], self._log.now_us,
            body.get("Labels") or {}, [bind.split(":")[0] for bind in binds],
        )  # fmt: skip
        self._log.append("container", container_id, created, context)
        return container_id, ["a warning"]

    def _view(self, state: containers.Container) -> ContainerView:
        body = self.bodies[state.id]
        log = {"Type": "json-file", "Config": {}}
        host = {"NetworkMode": "none", "LogConfig": log, **(body.get("HostConfig") or {})}
        config = {key: value for key, value in body.items() if key != "HostConfig"}
        mounts = [
            {"Type": "volume", "Name": name, "Source": f"/v/{name}/_data", "Destination": "/data", "Driver": "local",
             "Mode": "z", "RW": True, "Propagation": ""}
            for name in state.volumes
        ]  # fmt: skip
        return ContainerView(state, config, host, self._folder / state.id, mounts)

    def get(self, ref: str, *, as_of: str | None = None) -> ContainerView:
        return self._view(self._log.find("container", ref, "container"))

    def list(self, *, as_of: str | None = None) -> list[ContainerView]:
        if as_of == "#0":
            return []
        return [self._view(state) for state in self._log.states["container"].values()]

    def rename(self, ref: str, name: str, context: Context) -> None:
        if not name:
            raise InvalidArgument("Neither old nor new names may be empty")
        state = self.get(ref).state
        self._log.append("container", state.id, containers.ContainerRenamed(state.id, name, state.name), context)

    def wait(self, ref: str, condition: str) -> Waiter:
        if condition not in ("not-running", "next-exit", "removed"):
            raise InvalidArgument(f"invalid condition: {condition!r}")
        self.waiters.append(Waiter(self._log, self.get(ref).state.id))
        return self.waiters[-1]

    def logs(self, ref: str, *, stop: threading.Event | None = None, **question: Any) -> Iterator[tuple[str, bytes]]:
        self.log_questions.append(question)
        return self._lines(question, stop)

    def _lines(self, question: dict[str, Any], stop: threading.Event | None) -> Iterator[tuple[str, bytes]]:
        try:
            for stream, data in self.output:
                if question[stream]:
                    yield stream, data
            if question["follow"] and stop is not None:
                stop.wait()
        finally:
            self.log_ends.append("ended")

    def attach(self, ref: str, attachment: Attachment, *, logs: bool = False, announce: Any = None) -> None:
        if announce is not None:
            announce()
        if self.attach_error is not None:
            os.close(attachment.fd)
            raise self.attach_error
        self.attachments.append(attachment)

    def resize(self, ref: str, rows: int, columns: int) -> None:
        self.resized.append((ref, rows, columns))

    def top(self, ref: str, ps_args: str) -> tuple[list[str], list[list[str]]]:
        return ["PID", "CMD"], [["1", f"sh {ps_args}"]]


class Lifecycle:
    def __init__(self, log: Log, found: Containers) -> None:
        self._log, self._containers = log, found

    def _do(self, ref: str, command: Any, context: Context, *outcomes: Callable[[str], Event]) -> None:
        state = self._containers.get(ref).state
        for event in [*commands.decide(state, command), *(outcome(state.id) for outcome in outcomes)]:
            self._log.append("container", state.id, event, context)

    def start(self, ref: str, context: Context) -> None:
        now_us = self._log.now_us
        self._do(ref, commands.StartContainer(), context, lambda i: containers.ContainerStarted(i, 4242, now_us))
        if self._containers.get(ref).state.command == ["greet"]:
            self._greet(ref)

    def _greet(self, ref: str) -> None:
        """A container that says its lines to whoever attached, and ends."""
        while self._containers.attachments:
            attachment = self._containers.attachments.pop()
            for stream, data in self._containers.output:
                number = b"\2" if stream == "stderr" else b"\1"
                os.write(attachment.fd, number + b"\0\0\0" + len(data).to_bytes(4, "big") + data)
            os.close(attachment.fd)
        self.end(ref, 5)

    def end(self, ref: str, exit_code: int, context: Context | None = None) -> None:
        """The container's own end."""
        state = self._containers.get(ref).state
        event = containers.ContainerExited(state.id, exit_code, self._log.now_us)
        self._log.append("container", state.id, event, context or Context({"door": "shim"}, "shim", "shim"))

    def stop(self, ref: str, timeout_s: int | None, signal: str | None, context: Context) -> None:
        self._stop(ref, timeout_s, context)

    def _stop(self, ref: str, timeout_s: int | None, context: Context, *, restarting: bool = False) -> None:
        command = commands.StopContainer(15, 10 if timeout_s is None else timeout_s, restarting)
        self._do(ref, command, context, lambda i: containers.ContainerExited(i, 143, self._log.now_us))

    def restart(self, ref: str, timeout_s: int | None, signal: str | None, context: Context) -> None:
        with suppress(NotModified):
            self._stop(ref, timeout_s, context, restarting=True)
        self.start(ref, context)

    def kill(self, ref: str, signal: str, context: Context) -> None:
        self._do(ref, commands.KillContainer(9), context, lambda i: containers.ContainerKilled(i, 9))

    def pause(self, ref: str, context: Context) -> None:
        self._do(ref, commands.PauseContainer(), context, containers.ContainerPaused)

    def unpause(self, ref: str, context: Context) -> None:
        self._do(ref, commands.UnpauseContainer(), context, containers.ContainerUnpaused)

    def remove(self, ref: str, *, force: bool, volumes: bool, context: Context) -> None:
        if force and self._containers.get(ref).state.alive:
            self.end(ref, 137)
        self._do(ref, commands.RemoveContainer(volumes), context, containers.ContainerRemoved)

    def prune(self, filters: Mapping[str, list[str]], context: Context) -> tuple[list[str], int]:
        gone = [view.state.id for view in self._containers.list() if not view.state.alive]
        for container_id in gone:
            self.remove(container_id, force=False, volumes=False, context=context)
        return gone, 5 * len(gone)


class Execs:
    """An exec prints a line and exits at once."""

    def __init__(self, log: Log, found: Containers) -> None:
        self._log, self._containers = log, found
        self.bodies: dict[str, dict[str, Any]] = {}
        self.resized: list[tuple[str, int, int]] = []
        self.start_error: Exception | None = None

    def create(self, ref: str, body: dict[str, Any], context: Context) -> str:
        state = self._containers.get(ref).state
        exec_id = f"e{len(self.bodies):x}" * 32
        created = execs.ExecCreated(
            exec_id, state.id, "sha256:exec", body["Cmd"], self._log.now_us, tty=bool(body.get("Tty"))
        )
        for event in execs.decide(None, execs.CreateExec(created, state.public_status)):
            self._log.append("exec", exec_id, event, context)
        self.bodies[exec_id] = body
        return exec_id

    def get(self, exec_id: str) -> Any:
        state = self._log.find("exec", exec_id, "exec instance")
        return SimpleNamespace(state=state, config=self.bodies[state.id])

    def start(self, exec_id: str, attachment: Attachment | None, context: Context) -> None:
        state = self.get(exec_id).state
        if self.start_error is not None:
            if attachment is not None:
                os.close(attachment.fd)
            raise self.start_error
        container_id = state.container_id
        for event in (
            *execs.decide(state, execs.StartExec()),
            execs.ExecStarted(exec_id, container_id, 77, self._log.now_us),
        ):
            self._log.append("exec", exec_id, event, context)
        if attachment is not None:
            text = b"early:" + attachment.early if attachment.early else b"hi\n"
            os.write(attachment.fd, b"\1\0\0\0" + len(text).to_bytes(4, "big") + text if attachment.framed else text)
            os.close(attachment.fd)
        self._log.append("exec", exec_id, execs.ExecExited(exec_id, container_id, 0, self._log.now_us), context)

    def resize(self, exec_id: str, rows: int, columns: int) -> None:
        self.resized.append((exec_id, rows, columns))


class Images:
    def __init__(self, log: Log) -> None:
        self._log = log

    def add(self, context: Context) -> None:
        created = images.ImageCreated(IMAGE_ID, ["sha256:layer"], 1000, START_US, "import", "-")
        self._log.append("image", IMAGE_ID, created, context)
        self._log.append("image", IMAGE_ID, images.ImageTagged(IMAGE_ID, "docker.io/library/base:latest"), context)

    def _view(self, state: images.Image) -> Any:
        config = {
            "created": "2023-11-14T22:13:20.123456789Z", "architecture": "amd64", "os": "linux",
            "config": {"Cmd": ["sh"], "Labels": {"kind": "test"}},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:diff"]},
        }  # fmt: skip
        return SimpleNamespace(state=state, config=config)

    def list(self, *, as_of: str | None = None) -> list[Any]:
        return [self._view(state) for state in self._log.states["image"].values()]

    def get(self, ref: str, *, as_of: str | None = None) -> Any:
        for view in self.list():
            if ref in ("base", "base:latest", "library/base", view.state.id):
                return view
        raise NotFound(f"No such image: {ref}")

    def history(self, ref: str) -> list[dict[str, Any]]:
        view = self.get(ref)
        return [
            {"Id": view.state.id, "Created": view.config["created"], "CreatedBy": "", "Tags": ["base:latest"],
             "Size": 1000, "Comment": ""}
        ]  # fmt: skip

    def tag(self, ref: str, target: str, context: Context) -> None:
        image_id = self.get(ref).state.id
        self._log.append("image", image_id, images.ImageTagged(image_id, f"docker.io/library/{target}"), context)


class ImageRemoval:
    def __init__(self, log: Log, images_: Images) -> None:
        self._log = log
        self.get = images_.get

    def remove(self, ref: str, *, force: bool, prune: bool, context: Context) -> list[dict[str, str]]:
        state = self.get(ref).state
        for event in (*images.decide(state, images.RemoveImage()), images.ImageRemoved(state.id)):
            self._log.append("image", state.id, event, context)
        return [{"Untagged": "base:latest"}, {"Deleted": state.id}]

    def prune(self, filters: Mapping[str, list[str]], context: Context) -> tuple[list[dict[str, str]], int]:
        return [], 0


class Archives:
    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.imports: list[dict[str, Any]] = []
        self.load_error: Exception | None = None
        self.platforms: list[str | None] = []
        self.saved: list[Sequence[str]] = []

    def import_(self, stream: BinaryIO, *, context: Context, **settings: Any) -> str:
        self.received.append(_read_all(stream))
        self.imports.append(settings)
        return IMAGE_ID

    def load(
        self, stream: BinaryIO, context: Context, platform: str | None = None
    ) -> Iterator[dict[str, Any]]:
        self.platforms.append(platform)
        self.received.append(_read_all(stream))
        if self.received[-1] == b"garbage":
            raise InvalidArgument("the archive is not a tar archive")
        yield {"stream": "Loaded image: base:latest\n"}
        if self.load_error is not None:
            raise self.load_error

    def save(self, references: Sequence[str], context: Context) -> Iterator[bytes]:
        if "nope" in references:
            raise NotFound("No such image: nope:latest")
        self.saved.append(references)
        return (piece for piece in (b"tar", b"ball"))


class Pulls:
    """Tells a short pull; what it was asked for is in ``asked``."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.late_error: Exception | None = None
        self.closed = threading.Event()

    def pull(self, reference: Any, **asked: Any) -> Iterator[Notice]:
        self.asked.append({"reference": reference, **asked})
        return self._pull(reference, asked["departed"])

    def _pull(self, reference: Any, departed: threading.Event) -> Iterator[Notice]:
        if self.error is not None:
            raise self.error
        if reference.path.endswith("nope"):
            raise NotFound("pull access denied for nope, repository does not exist or may require 'docker login'")
        try:
            yield Notice(f"Pulling from {reference.path}", reference.tag or "latest")
            yield Notice("Pulling fs layer", "0123456789ab")
            yield Notice("Downloading", "0123456789ab", 10, 100)
            if reference.tag == "endless":
                departed.wait(20)
            if self.late_error is not None:
                raise self.late_error
            yield Notice("Digest: sha256:00")
        finally:
            self.closed.set()


class Pushes:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def push(self, reference: Any, **asked: Any) -> Iterator[Notice]:
        self.asked.append({"reference": reference, **asked})
        yield Notice(f"The push refers to repository [{reference.name}]")
        yield Notice("v1: digest: sha256:00 size: 5", aux={"Tag": "v1", "Digest": "sha256:00", "Size": 5})


class Registries:
    def __init__(self) -> None:
        self.logins: list[tuple[str, Credentials]] = []
        self.searches: list[tuple[str, int]] = []

    def login(self, address: str, credentials: Credentials) -> str:
        self.logins.append((address, credentials))
        if credentials.password != "right":
            raise Unauthorized("incorrect username or password")
        return "token"

    def search(self, term: str, limit: int, credentials: Credentials, departed: threading.Event) -> list[SearchResult]:
        self.searches.append((term, limit))
        return [SearchResult("alpine", "small", 9, True, False), SearchResult("me/alpine", "mine", 1, False, True)]

    def inspect(self, reference: Any, credentials: Credentials, departed: threading.Event) -> Any:
        platforms = [Platform("linux", "amd64"), Platform("linux", "arm", "v7")]
        return SimpleNamespace(media_type="m", digest="sha256:00", size_bytes=5, platforms=platforms)


class Fsck:
    def run(self, *, repair: bool, context: Context) -> Any:
        problem = SimpleNamespace(
            object="layer sha256:1", what="has no tree", images=["base:latest"], repaired="mended" if repair else "",
            pull=[],
        )  # fmt: skip
        return SimpleNamespace(is_whole=repair, layers=1, blobs=2, problems=[problem])


def _read_all(stream: BinaryIO) -> bytes:
    whole = b""
    while chunk := stream.read(100_000):
        whole += chunk
    return whole


class Volumes:
    def __init__(self, log: Log) -> None:
        self._log = log
        self.prunes: list[Mapping[str, list[str]]] = []

    def create(self, body: dict[str, Any], context: Context) -> Any:
        name = body.get("Name") or "f" * 64
        creating = volumes.VolumeCreating(name, self._log.now_us, labels=body.get("Labels") or {})
        for event in (creating, volumes.VolumeCreated(name)):
            self._log.append("volume", name, event, context)
        return self.get(name)

    def _view(self, state: volumes.Volume) -> Any:
        users = [view.id for view in self._log.states["container"].values() if state.id in view.volumes]
        return SimpleNamespace(state=state, mountpoint=Path(f"/v/{state.id}/_data"), users=users)

    def list(self) -> list[Any]:
        return [self._view(state) for state in self._log.states["volume"].values()]

    def get(self, name: str) -> Any:
        if name not in self._log.states["volume"]:
            raise NotFound(f"get {name}: no such volume")
        return self._view(self._log.states["volume"][name])

    def remove(self, name: str, *, force: bool, context: Context) -> None:
        self.get(name)
        for event in (volumes.VolumeRemoving(name), volumes.VolumeRemoved(name)):
            self._log.append("volume", name, event, context)

    def prune(self, filters: Mapping[str, list[str]], context: Context) -> tuple[list[str], int]:
        self.prunes.append(filters)
        return [], 0


class Audit:
    def __init__(self, log: Log) -> None:
        self._log = log

    def trail(self, noun: str | None, text: str) -> list[Recorded]:
        found = [
            record for record in self._log.records
            if text in (record.stream.partition("/")[2], getattr(record.event, "container_id", ""))
        ]  # fmt: skip
        if not found:
            raise NotFound(f"nothing on record is named {text!r}")
        return found

    def project(self, name: str) -> list[Recorded]:
        return [record for record in self._log.records if record.causation.startswith(f"compose:{name}/")]

    def moment_us(self, as_of: str) -> int:
        return self._log.now_us

    def head(self) -> Any:
        return SimpleNamespace(seq=len(self._log.records), hash="cd" * 32)

    def verify(self, against: str | None = None) -> Any:
        problems = [SimpleNamespace(seq=1, what="cut")] if against == "99:ff" else []
        return SimpleNamespace(events=len(self._log.records), head=self.head(), problems=problems)


class Events:
    def __init__(self, log: Log) -> None:
        self._log = log
        self.ended = threading.Event()

    def follow(self, since_us: int | None, until_us: int | None, stop: threading.Event) -> Iterator[Recorded]:
        seen = 0 if since_us is not None else len(self._log.records)  # now, not when the first is asked for
        return self._follow(seen, since_us, until_us, stop)

    def _follow(
        self, seen: int, since_us: int | None, until_us: int | None, stop: threading.Event
    ) -> Iterator[Recorded]:
        try:
            while True:
                for record in self._log.records[seen:]:
                    seen += 1
                    if record.time_us >= (since_us or 0) and (until_us is None or record.time_us <= until_us):
                        yield record
                if stop.is_set() or (until_us is not None and until_us <= self._log.now_us):
                    return
                self._log.wait_for(lambda: len(self._log.records) > seen, 0.05)
        finally:
            self.ended.set()


class System:
    def __init__(self, log: Log) -> None:
        self._log = log

    def info(self) -> dict[str, Any]:
        counts = {"ContainersRunning": 1, "ContainersPaused": 0, "ContainersStopped": 0, "Images": 1}
        found = len(self._log.states["container"])
        return {"Containers": found, **counts, "DockerRootDir": "/d", "CgroupVersion": "1"}

    def disk_usage(self) -> dict[str, Any]:
        return {
            "layers_bytes": 1000,
            "image_shared_bytes": {IMAGE_ID: 0},
            "container_bytes": {identifier: (5, 1005) for identifier in self._log.states["container"]},
            "volume_bytes": {name: 7 for name in self._log.states["volume"]},
        }


class Networks:
    """No network of the engine's own; the predefined ones are the API's."""

    has_default = True

    def list(self, *, as_of: str | None = None) -> list[Any]:
        return []

    has_default = True

    def ensure(self, reference: str, context: Context) -> None:
        """Made when it is first asked for, and here by nobody."""

    def get(self, reference: str, *, as_of: str | None = None) -> Any:
        raise NotFound(f"network {reference} not found")

    def remove(self, reference: str, context: Context) -> None:
        if reference in ("none", "host"):
            raise Forbidden(f"{reference} is a pre-defined network and cannot be removed")
        self.get(reference)

    def prune(self, filters: Any, context: Context) -> list[str]:
        return []


class Builds:
    """Nothing was ever built."""

    def usage(self) -> list[Any]:
        return []


class Services:
    """Everything the API sees, with one image on record."""

    def __init__(self, folder: Path) -> None:
        self.log = Log()
        self.containers = Containers(self.log, folder)
        self.lifecycle = Lifecycle(self.log, self.containers)
        self.execs = Execs(self.log, self.containers)
        self.images = Images(self.log)
        self.image_removal = ImageRemoval(self.log, self.images)
        self.archives = Archives()
        self.pulls = Pulls()
        self.pushes = Pushes()
        self.registries = Registries()
        self.fsck = Fsck()
        self.builds = Builds()
        self.volumes = Volumes(self.log)
        self.networks = Networks()
        self.audit = Audit(self.log)
        self.events = Events(self.log)
        self.system = System(self.log)
        self.images.add(Context({"door": "test"}, "setup", "setup"))
