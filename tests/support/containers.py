"""Containers straight from the runtime: a supervisor of its own, plans by keyword, and what was heard of each."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import itertools
import os
import shutil
import socket
import struct
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

from engine.kernel import cgroups
from engine.runtime.attachment import Attachment
from engine.runtime.supervisor import Supervisor
from engine.services import mount_points, oci_spec
from engine.services.seccomp_filter import default_filter

from support.census import cgroup_parent
from support.machine import OWN_PREFIX, data_folder
from support.rootfs import ETC, FOLDERS, static_busybox
from support.waiting import eventually

_CONFIG: Mapping[str, Any] = {
    "Hostname": "", "Domainname": "", "Env": [], "Tty": False, "Entrypoint": None, "WorkingDir": "", "User": "",
}  # fmt: skip
_HOST: Mapping[str, Any] = {"NetworkMode": "none", "ShmSize": 64 << 20}


@functools.cache
def layer() -> Path:
    """A folder with a small root file system, made once a test run and removed at its end."""
    busybox, parent = static_busybox(), data_folder()
    assert busybox is not None and parent is not None
    folder = Path(tempfile.mkdtemp(prefix="rt-layer-", dir=parent))
    atexit.register(shutil.rmtree, folder, True)
    folder.chmod(0o755)
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    shutil.copy(busybox, folder / "bin" / "busybox")
    applets = os.popen(f"{busybox} --list").read().split()
    for applet in set(applets) - {"busybox"}:
        (folder / "bin" / applet).symlink_to("busybox")
    for name, text in ETC.items():
        (folder / name).write_text(text)
    return folder


def children_of(pid: int | None) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def is_spare(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "docket-spare\n"
    except FileNotFoundError:
        return False


def open_files(pid: str) -> set[str]:
    """What a process's descriptors lead to; those that come and go meanwhile may be missing."""
    found = set()
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return found  # it has ended
    for number in numbers:
        try:
            found.add(os.readlink(f"/proc/{pid}/fd/{number}"))
        except OSError:
            continue
    return found


@dataclass
class Container:
    """One launched container. ``messages`` is what the supervisor told about it, in order."""

    id: str
    directory: Path
    facts: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.facts["pid"]

    @property
    def log(self) -> Path:
        return self.directory / "container.log"

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def wait(self, kind: str = "exited", timeout_s: float = 20) -> dict[str, Any]:
        """The first message of a kind."""
        return eventually(lambda: self.of_type(kind), timeout_s=timeout_s, what=f"{kind}: {self.messages}")[0]

    def lock_is_free(self) -> bool:
        """Whether no shim holds the container."""
        fd = os.open(self.directory / "shim.lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(fd)

    def shim_pid(self) -> int:
        """The process that holds the lock."""
        wanted = str(self.directory / "shim.lock")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            if int(pid) != os.getpid() and wanted in open_files(pid):
                return int(pid)
        raise AssertionError("no shim")


class Wire:
    """The client's end of an attached connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(20)

    def read_frames(self) -> tuple[bytes, bytes]:
        """Standard output and error until the end."""
        output = {1: bytearray(), 2: bytearray()}
        data, at = self.read_all(), 0
        while at < len(data):
            number, length = struct.unpack_from(">BxxxL", data, at)
            output[number] += data[at + 8 : at + 8 + length]
            at += 8 + length
        return bytes(output[1]), bytes(output[2])

    def read_all(self) -> bytes:
        parts = []
        while part := self.socket.recv(65536):
            parts.append(part)
        return b"".join(parts)

    def read_until(self, text: bytes) -> bytes:
        data = b""
        while text not in data:
            part = self.socket.recv(65536)
            assert part, f"the connection ended before {text!r}: {data!r}"
            data += part
        return data

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str
    container: Container


class Runtime:
    """A supervisor on a home of its own; ``spawner`` names the module that the spawner runs."""

    def __init__(self, home: Path, failpoints: str = "") -> None:
        self.home = home
        self.parent = cgroup_parent(home)
        self.containers: dict[str, Container] = {}
        self._numbers = itertools.count(1)
        self.supervisor = self.connect(failpoints)

    def connect(self, failpoints: str = "") -> Supervisor:
        """A supervisor, as a daemon has one; its spawner inherits the failpoints."""
        previous = os.environ.get("DOCKET_FAILPOINTS")
        os.environ["DOCKET_FAILPOINTS"] = failpoints
        try:
            return Supervisor(
                run_dir=self.home / "run", spawner_argv_module="engine.runtime.spawner", on_message=self._heard
            )
        finally:
            if previous is None:
                del os.environ["DOCKET_FAILPOINTS"]
            else:
                os.environ["DOCKET_FAILPOINTS"] = previous

    def reconnect(self, failpoints: str = "") -> None:
        """What a restart of the daemon does to the runtime."""
        self.supervisor.close()
        self.supervisor = self.connect(failpoints)

    def _heard(self, container_id: str, message: dict[str, Any]) -> None:
        self.containers[container_id].messages.append(message)

    # --- plans -----------------------------------------------------------------------------------------------------

    def plan(
        self, *command: str, config: Mapping[str, Any] | None = None, host: Mapping[str, Any] | None = None,
        change: Callable[[dict[str, Any]], None] | None = None, layers: Sequence[Path] | None = None,
        stdin: bool = False, stdin_once: bool = True, **extra: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """A plan as services make one, for a container with a new id. ``change`` alters its specification."""
        container_id = f"{next(self._numbers):04x}" * 16
        directory = self.home / "containers" / container_id
        directory.mkdir(parents=True)
        settings = {**_CONFIG, "Cmd": list(command), **(config or {})}
        chosen = {**_HOST, **(host or {})}
        mounts = mount_points.parse(chosen, settings)
        volumes = {mount.destination: self.volume(mount.source) for mount in mounts if mount.type == "volume"}
        spec = oci_spec.build(container_id, settings, chosen, mounts, volumes, {})
        if change is not None:
            change(spec)
        self.containers[container_id] = Container(container_id, directory)
        return {
            "container_id": container_id,
            "directory": str(directory),
            "spec": spec,
            "overlay": {
                "lower": [str(folder) for folder in layers or [layer()]],
                "upper": str(directory / "upper"),
                "work": str(directory / "work"),
            },
            "seccomp": default_filter(oci_spec.capabilities(chosen)),
            "user": settings["User"],
            "groups": list(chosen.get("GroupAdd") or []),
            "create_workdir": True,
            "cgroup_path": f"{self.parent}/{container_id}",
            "stdio": {"tty": settings["Tty"], "open_stdin": stdin, "stdin_once": stdin and stdin_once},
            "log": {
                "path": str(directory / "container.log"), "max_bytes": 0, "max_files": 1, "attributes": {},
                "compress": False,
            },
            **extra,
        }

    def volume(self, name: str) -> Path:
        folder = self.home / "volumes" / (name or f"anonymous-{next(self._numbers)}") / "_data"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    # --- life ------------------------------------------------------------------------------------------------------

    def sweep(self, container: Container) -> None:
        """What services do when a shim is lost."""
        self.supervisor.run_job("container.sweep", {"cgroup_path": f"{self.parent}/{container.id}"})

    def launch(self, plan: dict[str, Any], attachments: Sequence[Attachment] = ()) -> Container:
        container = self.containers[plan["container_id"]]
        lock = os.open(container.directory / "shim.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            eventually(lambda: _try_lock(lock), what="the lock of an earlier shim")
            container.messages.clear()
            container.facts = self.supervisor.launch(plan, lock, attachments)
        finally:
            os.close(lock)
        return container

    def start(self, *command: str, **options: Any) -> Container:
        return self.launch(self.plan(*command, **options))

    def run(self, *command: str, input: bytes | None = None, **options: Any) -> Outcome:
        """Launch with a client attached, feed it, and wait for the end."""
        wire, attachment = connection(stdin=input is not None)
        container = self.launch(self.plan(*command, stdin=input is not None, **options), [attachment])
        with contextlib.closing(wire):
            if input is not None:
                feeder = threading.Thread(target=lambda: (wire.send(input), wire.half_close()))
                feeder.start()
            out, err = wire.read_frames()
            if input is not None:
                feeder.join()
        code = container.wait()["exit_code"]
        return Outcome(code, out.decode(errors="replace"), err.decode(errors="replace"), container)

    def shell(self, script: str, **options: Any) -> str:
        """What a script prints; it must end with 0."""
        done = self.run("sh", "-c", script, **options)
        assert done.code == 0, f"exit {done.code}: {done.out}{done.err}"
        return done.out

    def exec(self, container: Container, *command: str, input: bytes | None = None, **plan: Any) -> Outcome:
        """Run a process in the container with a client attached, and wait for its end."""
        wire, attachment = connection(stdin=input is not None)
        exec_id = f"{next(self._numbers):064x}"
        chosen = {
            "exec_id": exec_id, "args": list(command), "env": [oci_spec.DEFAULT_PATH], "cwd": "/", "user": "",
            "groups": [], "tty": False, "open_stdin": input is not None, "privileged": False,
            "capabilities": list(oci_spec.DEFAULT_CAPABILITIES), "no_new_privileges": False, "rlimits": [], **plan,
        }  # fmt: skip
        container.facts["exec"] = self.supervisor.exec(container.id, chosen, attachment)
        with contextlib.closing(wire):
            if input is not None:
                wire.send(input)
                wire.half_close()
            out, err = wire.read_frames()
        ends = lambda: [m for m in container.of_type("exec_exited") if m["exec_id"] == exec_id]  # noqa: E731
        code = eventually(ends, what="the exec's end")[0]["exit_code"]
        return Outcome(code, out.decode(errors="replace"), err.decode(errors="replace"), container)

    def cgroup(self, container: Container) -> cgroups.Cgroup:
        return cgroups.Cgroup(f"{self.parent}/{container.id}")

    # --- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End every container, and the supervisor; then nothing of them may be left."""
        for container in self.containers.values():
            if (container.directory / "shim.lock").exists() and not container.lock_is_free():
                with contextlib.suppress(Exception):
                    self.supervisor.resume(container.id)
                    self.supervisor.signal(container.id, 9)
        self.supervisor.close()
        for container in self.containers.values():
            if (container.directory / "shim.lock").exists():
                eventually(container.lock_is_free, what=f"the shim of {container.id[:4]} leaves")
            assert not cgroups.Cgroup(f"{self.parent}/{container.id}").exists(), "cgroups are left"
        assert not os.listdir(self.home / "run" / "shims"), "sockets are left"
        cgroups.Cgroup(self.parent).remove()


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def connection(
    *, stdin: bool = False, framed: bool = True, keys: bytes = b"", early: bytes = b""
) -> tuple[Wire, Attachment]:
    """A client's end and the attachment with the other one."""
    ours, theirs = socket.socketpair()
    return Wire(ours), Attachment(theirs.detach(), stdin, True, True, framed, keys, early)


@contextlib.contextmanager
def running_runtime(failpoints: str = "") -> Iterator[Runtime]:
    """A runtime on a fresh home, which is empty of everything at the end."""
    home = Path(tempfile.mkdtemp(prefix=f"{OWN_PREFIX}rt-", dir=data_folder()))
    runtime = Runtime(home, failpoints)
    try:
        yield runtime
    finally:
        try:
            runtime.close()
        finally:
            shutil.rmtree(home)
