"""A container that another OCI runtime (runc, crun) makes, under our shim.

The launcher mounts the root in a mount namespace of its own, which ends with it, writes the bundle's config.json, and
has the runtime create and start the container. The first process becomes the shim's child when the runtime's command
ends, since the shim is its subreaper. Everything afterwards (signals, execs, the freezer, limits, statistics) goes
by the kernel: cgroups, pidfds, namespaces. The runtime's own state lies in the container's folder and goes with it.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import time

from engine.kernel import json_text, mounts
from engine.kernel.cgroups import Cgroup
from engine.kernel.namespaces import CLONE_NEWNS, unshare
from engine.kernel.steps import step
from engine.runtime import copy_up, evidence, mount_options, overlay, targets, users
from engine.runtime.launch import Launched, SetupFailed, Watcher, name_profile
from engine.runtime.setup import Json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

STATE_FOLDER, LOG, PID_FILE, CONSOLE = "oci-runtime", "oci-runtime.log", "init.pid", "console.sock"
_LONGEST_S = 60.0
_DELETION_S = 20.0
_EXECUTED_S, _LOOK_AGAIN_S = 2.0, 0.001


class OtherLaunch:
    """One attempt; in the launcher, which is a process of its own. Whoever called cleans up after a failure."""

    def __init__(
        self, plan: Json, cgroup: Cgroup, stdio: Sequence[int], watcher: Watcher, check: Callable[[], None]
    ) -> None:
        self._plan = plan
        self._cgroup = cgroup
        self._stdio = stdio
        self._watcher = watcher
        self._check = check
        self._spec: Json = plan["spec"]
        self._root = ""
        self._binds: list[list[str]] = []

    def run(self) -> Launched:
        """Raises SetupFailed, OSError (with its step), and what ``check`` raises."""
        os.chdir(self._plan["directory"])
        with step("rootfs.overlay"):
            self._mount_root()
        with step("rootfs.mounts"):
            self._prepare_mounts()
        self._write_bundle()
        if os.path.exists(STATE_FOLDER):
            delete(self._plan["oci_runtime"], self._plan["container_id"])
        terminal = bool(self._plan["stdio"]["tty"])
        with socket.socket(socket.AF_UNIX) as console, step("init.clone"):
            words = ["create", "--bundle", os.getcwd(), "--pid-file", PID_FILE]
            if terminal:
                _listen(console)
                words += ["--console-socket", CONSOLE]
            self._call(*words, self._plan["container_id"], stdio=None if terminal else self._stdio)
            terminal_fd = _take_terminal(console) if terminal else -1
            with open(PID_FILE) as file:
                pid = int(file.read())
        try:
            return self._start(pid, terminal_fd)
        except BaseException:
            delete(self._plan["oci_runtime"], self._plan["container_id"])
            raise

    def _start(self, pid: int, terminal_fd: int) -> Launched:
        interfaces = self._watcher.cloned(pid)
        found = self._evidence(pid)
        self._check()
        self._watcher.ready(pid, found, terminal_fd)
        waiting = _executable(pid)
        with step("exec.start"):
            self._call("start", self._plan["container_id"])
        started_at_us = time.time_ns() // 1000
        try:
            _await_command(pid, waiting)
            found = self._evidence(pid)  # some of what a runtime does it does last
        except OSError:
            found["read_before_start"] = True  # the command has ended already
        if interfaces:
            found["interfaces"] = interfaces
        return Launched(pid, started_at_us, found, [], terminal_fd)

    def _evidence(self, pid: int) -> Json:
        with step("evidence.read"):
            found = evidence.read(pid, self._cgroup)
        found["binds"] = self._binds
        found["oci_runtime"] = self._plan["oci_runtime"]
        name_profile(found, self._plan)
        return found

    # --- the bundle ------------------------------------------------------------------------------------------------

    def _mount_root(self) -> None:
        """Nothing of it reaches the host: its mounts come to us, ours don't go to it."""
        layers = self._plan["overlay"]
        self._root = os.path.join(self._plan["directory"], self._spec["root"].get("path") or "rootfs")
        unshare(CLONE_NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)
        overlay.mount_overlay(layers["lower"], layers["upper"], layers["work"], self._root)

    def _prepare_mounts(self) -> None:
        """Fresh volumes get what the image has at their place; and the evidence says where from binds are."""
        root_fd = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for entry in self._spec.get("mounts") or ():
                if entry.get("type") != "bind":
                    continue
                access = "ro" if mount_options.parse(entry.get("options") or ()).read_only else "rw"
                self._binds.append([os.path.realpath(entry["source"]), entry["destination"], access])
                if entry["destination"] in (self._plan.get("fill") or ()):
                    self._fill(root_fd, entry)
            self._take_user(root_fd)
        finally:
            os.close(root_fd)

    @staticmethod
    def _fill(root_fd: int, entry: Json) -> None:
        with step("volume.fill"):
            place = targets.open_folder(root_fd, entry["destination"])
            volume = os.open(entry["source"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                copy_up.fill(place, volume)
            finally:
                os.close(place)
                os.close(volume)

    def _take_user(self, root_fd: int) -> None:
        """By the image's own files, as for every container: the specification wants numbers."""
        user = users.resolve(root_fd, self._plan.get("user") or "", self._plan.get("groups") or [])
        process = self._spec["process"]
        process["user"] = {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)}
        if not any(entry.startswith("HOME=") for entry in process["env"]):
            process["env"] = [*process["env"], f"HOME={user.home}"]

    def _write_bundle(self) -> None:
        linux = self._spec["linux"]
        spec = {
            **self._spec,
            "root": {**self._spec["root"], "path": self._root},
            "linux": {
                **linux,
                "cgroupsPath": f"/{self._plan['cgroup_path']}",
                "namespaces": [
                    {key: value for key, value in entry.items() if key in ("type", "path")}
                    for entry in linux["namespaces"]
                ],
                "devices": [
                    {key: value for key, value in device.items() if key != "source"}
                    for device in linux.get("devices") or []
                ],
                **({"seccomp": profile} if (profile := self._plan.get("seccomp_profile")) else {}),
            },
        }  # fmt: skip
        fd = os.open("config.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(json_text.dumps(spec))

    # --- the runtime -----------------------------------------------------------------------------------------------

    def _call(self, *words: str, stdio: Sequence[int] | None = None) -> None:
        """Raises SetupFailed with what the runtime says."""
        try:
            os.unlink(LOG)
        except FileNotFoundError:
            pass
        status = call(self._plan["oci_runtime"], words, stdio, _LONGEST_S)
        if status != 0:
            message = _last_error() or f"{self._plan['oci_runtime']['path']} {words[0]}: exit status {status}"
            raise SetupFailed({
                "type": "failed", "step": "exec.start", "errno": 0, "message": message,
                "exit_code": _exit_code(message.lower()),
            })  # fmt: skip


def _exit_code(message: str) -> int:
    """As Docker has it, by what runc and crun say."""
    if "permission denied" in message:
        return 126
    missing = "executable file" in message and "not found" in message or "no such file or directory" in message
    return 127 if missing else 128


def call(runtime: Json, words: Sequence[str], stdio: Sequence[int] | None, longest_s: float) -> int:
    """Run one of the runtime's commands in the container's folder, which is ours: its exit status."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    streams = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(stdio or (null, null, null))]
    arguments = [
        runtime["path"], *runtime["arguments"], "--root", os.path.join(os.getcwd(), STATE_FOLDER), "--log",
        os.path.join(os.getcwd(), LOG), "--log-format", "json", *words,
    ]  # fmt: skip
    try:
        pid = os.posix_spawn(
            runtime["path"], arguments, dict(os.environ), file_actions=streams, setsigmask=[],
            setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE],
        )  # fmt: skip
    except OSError as error:
        raise OSError(error.errno, error.strerror, runtime["path"]) from error
    finally:
        os.close(null)
    pid_fd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pid_fd, select.POLLIN)
        if not poll.poll(longest_s * 1000):
            signal.pidfd_send_signal(pid_fd, signal.SIGKILL)
    finally:
        os.close(pid_fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def delete(runtime: Json, container_id: str) -> None:
    """What the runtime keeps of a container, and the container itself where it is still there. The working directory is
    the container's folder. Raises OSError."""
    call(runtime, ["delete", "--force", container_id], None, _DELETION_S)


def _executable(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/exe")


def _await_command(pid: int, waiting: str) -> None:
    """Until it is no longer the runtime's own program that the process executes: "start" doesn't wait for that."""
    end_s = time.monotonic() + _EXECUTED_S
    while _executable(pid) == waiting and time.monotonic() < end_s:
        time.sleep(_LOOK_AGAIN_S)


def _last_error() -> str:
    try:
        with open(LOG, encoding="utf-8", errors="replace") as file:
            records: list[Any] = [json_text.loads(line) for line in file if line.startswith("{")]
    except (OSError, ValueError):
        return ""
    errors = [str(record.get("msg") or "") for record in records if record.get("level") in ("error", "fatal")]
    return " ".join(errors[-1].split()) if errors else ""


def _listen(console: socket.socket) -> None:
    try:
        os.unlink(CONSOLE)
    except FileNotFoundError:
        pass
    console.bind(CONSOLE)
    console.listen(1)
    console.settimeout(_LONGEST_S)


def _take_terminal(console: socket.socket) -> int:
    connection, _ = console.accept()
    with connection:
        _, fds, _, _ = socket.recv_fds(connection, 4096, 1)
    os.unlink(CONSOLE)
    if not fds:
        raise OSError(errno.EPROTO, "the runtime has sent no terminal", CONSOLE)
    os.set_inheritable(fds[0], False)
    return fds[0]
