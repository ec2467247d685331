"""A real engine for a test: its own daemon on its own data root, driven by the real command."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping

from support.census import (
    assert_networks_are_gone, assert_nothing_left, assert_parent_is_gone, processes_of, take_census,
)  # fmt: skip
from support.connection import Answer, UnixConnection, ask
from support.fresh_log import place_empty_log
from support.machine import MS_BIND, OWN_PREFIX, data_folder, mount, private_mounts
from support.users import become_user
from support.sources import REPOSITORY
from support.waiting import eventually

Completed = subprocess.CompletedProcess[str]


def docket_command() -> tuple[str, ...]:
    """The program of this checkout, as it is installed: isolated, and without looking for packages."""
    return sys.executable, "-IS", str(REPOSITORY / "scripts/docket")


def base_config(*command: str, **host_config: Any) -> dict[str, Any]:
    """A valid body for POST /containers/create; a test changes two keys of it."""
    return {"Image": "base", "Cmd": list(command), "HostConfig": {"NetworkMode": "none", **host_config}}


class Engine:
    """An engine's home (data root, run folder) and the daemon process on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "root"
        self.run_folder = home / "run"
        self.socket = self.run_folder / "docket.sock"
        self.daemon: subprocess.Popen[bytes] | None = None
        self.covers: Mapping[str, Path] = {}
        """Files of the host (path) in whose place its daemon finds others."""
        self.user = 0
        """Whose the daemon is."""
        self.names_its_host = True
        """With the host named, no command starts a daemon by itself: the one under test is the only one."""

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment in which command and daemon run: nobody else's settings, this home."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKET_", "DOCKER_"))}
        path = os.pathsep.join(filter(None, [str(REPOSITORY), kept.get("PYTHONPATH")]))
        named = {"DOCKET_HOST": f"unix://{self.socket}"} if self.names_its_host else {}
        folders = {"DOCKET_ROOT": str(self.root), "DOCKET_RUN": str(self.run_folder)}
        return {**kept, **folders, **named, "PYTHONPATH": path, **extra}

    # --- the daemon ------------------------------------------------------------------------------------------------

    def start(self, *, failpoints: str = "", boot_id: str = "") -> None:
        """Start the daemon and wait until it answers."""
        self.launch(failpoints=failpoints, boot_id=boot_id)
        eventually(self._is_up, timeout_s=30, what="the daemon answers")

    def launch(self, *, failpoints: str = "", boot_id: str = "") -> None:
        """Start the daemon in the foreground of a child.

        ``failpoints`` are those of engine.kernel.steps; with ``boot_id`` the daemon sees another one than the kernel's,
        with ``covers`` other files (path -> what it finds there).
        """
        log = (self.home / "daemon.log").open("ab")
        armed = {"DOCKET_FAILPOINTS": failpoints} if failpoints else {}
        with log:
            self.daemon = subprocess.Popen(
                [*docket_command(), "daemon"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(**armed),
                preexec_fn=(lambda: self._pretend(boot_id)) if boot_id or self.covers or self.user else None,
            )  # fmt: skip

    def _pretend(self, boot_id: str) -> None:
        covers = self.covers
        private_mounts()
        if boot_id:
            file = self.home / "boot_id"
            file.write_text(f"{boot_id}\n")
            covers = {**covers, "/proc/sys/kernel/random/boot_id": file}
        for path, file in covers.items():
            mount(str(file), path, None, MS_BIND)
        if self.user:
            become_user(self.user, self.home)

    def _is_up(self) -> bool:
        assert self.daemon is not None
        if self.daemon.poll() is not None:
            raise RuntimeError(f"the daemon ended with {self.daemon.returncode}: {self.log()}")
        return self.answers()

    def answers(self) -> bool:
        """Whether a daemon answers on the socket."""
        try:
            return self.api("GET", "/_ping").status == 200
        except OSError:
            return False

    def log(self) -> str:
        """What the daemon said so far."""
        path = self.home / "daemon.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def daemon_pid(self) -> int:
        """The pid of whoever listens on the socket (SO_PEERCRED), however it was started."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(self.socket))
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return struct.unpack("3i", credentials)[0]

    def stop(self) -> int:
        """SIGTERM, and the daemon's exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: the daemon gets no chance to tidy up."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        assert self.daemon is not None, "the daemon is not running"
        self.daemon.send_signal(number)
        code = self.daemon.wait(timeout=30)
        self.daemon = None
        return code

    def restart(self) -> None:
        """Stop in order and start again."""
        self.stop()
        self.start()

    def shim_pids(self) -> list[int]:
        """The processes that hold a container's liveness lock."""
        return sorted(pid for pid in processes_of(self.home) if self._is_shim(pid))

    def _is_shim(self, pid: int) -> bool:
        try:
            links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]
        except OSError:
            return False
        daemon = self.daemon.pid if self.daemon else None
        return pid != daemon and any(link.endswith("/shim.lock") for link in links)

    # --- talking to it ---------------------------------------------------------------------------------------------

    def docket(self, *arguments: str, check: bool = True, timeout_s: float = 60, **options: Any) -> Completed:
        """Run the command. With ``check`` a failure shows what it printed."""
        return self._run([*docket_command(), *arguments], check, timeout_s, **options)

    def run(self, *arguments: str, **options: Any) -> str:
        """``docket run --network none ...``, and what it printed."""
        return self.docket("run", "--network", "none", *arguments, **options).stdout

    def refused(self, *arguments: str, code: int = 1) -> str:
        """Run a command that must fail with ``code`` and one line, and return that line."""
        done = self.docket(*arguments, check=False)
        assert done.returncode == code, f"exit {done.returncode}, not {code}: {done.stdout}{done.stderr}"
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, f"not one line: {done.stderr!r}"
        assert "Traceback" not in done.stderr
        return lines[0]

    def docker(self, *arguments: str, check: bool = True, timeout_s: float = 60, **options: Any) -> Completed:
        """Run Docker's own client against this engine."""
        command = ["docker", "-H", f"unix://{self.socket}", *arguments]
        return self._run(command, check, timeout_s, **options)

    def _run(self, command: list[str], check: bool, timeout_s: float, **options: Any) -> Completed:
        environment = self.environment(**options.pop("environment", {}))
        if "input" not in options and "stdin" not in options:
            options["stdin"] = subprocess.DEVNULL
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False, **options
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(command[-6:])}: exit {done.returncode}\n{done.stdout}{done.stderr}\ndaemon: {self.log()}"
            )
        return done

    def spawn(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start the command without waiting for its end, with pipes for its streams."""
        streams = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        return subprocess.Popen(
            [*docket_command(), *arguments], text=True, env=self.environment(), **{**streams, **options}
        )

    def api(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own."""
        connection = UnixConnection(self.socket)
        try:
            return ask(connection, method, path, body, **headers)
        finally:
            connection.close()

    def inspect(self, name: str) -> dict[str, Any]:
        """What ``docket inspect`` says about one object."""
        return json.loads(self.docket("inspect", name).stdout)[0]

    def system_cgroup(self) -> str:
        """Where the engine keeps its containers' cgroups, from the root of each controller."""
        return self.api("GET", "/info").json["Docket"]["CgroupParent"]

    def trail(self, name: str) -> list[dict[str, Any]]:
        """The audit trail of one object, as the API gives it."""
        answer = self.api("GET", f"/docket/audit/trail?id={name}")
        assert answer.status == 200, answer.body
        return answer.json

    def event_types(self, name: str) -> list[str]:
        """The stored types along an object's trail."""
        return [event["type"] for event in self.trail(name)]

    def reset(self) -> None:
        """Remove every container, volume and network; images stay, and so does the bridge of the default network."""
        for item in self.api("GET", "/containers/json?all=1").json:
            self.api("DELETE", f"/containers/{item['Id']}?force=1&v=1")
        for volume in self.api("GET", "/volumes").json["Volumes"] or []:
            self.api("DELETE", f"/volumes/{volume['Name']}?force=1")
        for network in self.api("GET", "/networks").json:
            if network["Name"] not in ("bridge", "host", "none"):
                self.api("DELETE", f"/networks/{network['Id']}")

    def close(self) -> None:
        """Remove what is left and stop the daemon, whatever the test did to it."""
        if self.daemon is None or self.daemon.poll() is not None:
            if not self.root.exists():
                return
            self.start()
        self.reset()
        self.stop()


@functools.cache
def root_with_base(rootfs: Path) -> Path:
    """The data root of an engine that has imported ``rootfs`` as ``base`` and ended; made once, and copied by those
    that need one of their own."""
    engine = Engine(Path(tempfile.mkdtemp(prefix="imported-", dir=data_folder())))
    atexit.register(shutil.rmtree, engine.home, True)
    engine.root.mkdir(mode=0o711)
    place_empty_log(engine.root)
    engine.start()
    try:
        engine.docket("import", str(rootfs), "base")
    finally:
        engine.stop()
    return engine.root


@contextmanager
def running_engine(rootfs: Path | None, *, start: bool = True) -> Iterator[Engine]:
    """An engine on a fresh home, with ``rootfs`` imported as ``base``; afterwards nothing of it may be left. Without
    ``start`` its first daemon makes everything by itself, the database as well."""
    folder = data_folder()
    assert folder is not None
    before = take_census()
    home = Path(tempfile.mkdtemp(prefix=OWN_PREFIX, dir=folder))  # short: a socket's path has 108 bytes
    engine = Engine(home)
    try:
        if start:
            if rootfs is not None:
                subprocess.run(["cp", "-a", root_with_base(rootfs), engine.root], check=True)
            else:
                engine.root.mkdir(mode=0o711)
                place_empty_log(engine.root)
            engine.start()
        yield engine
    finally:
        try:
            engine.close()
        finally:
            _end_survivors(home)
            shutil.rmtree(home)
    assert_nothing_left(before, home)
    assert_parent_is_gone(home)
    assert_networks_are_gone(home)


def _end_survivors(home: Path) -> None:
    """End what outlived its engine, so that one failed test does not fail the next ones; and say so."""
    try:
        eventually(lambda: not processes_of(home), timeout_s=10, what="every process of the engine has ended")
    except AssertionError:
        left = [f"{pid} {Path(f'/proc/{pid}/cmdline').read_bytes()[:80]!r}" for pid in processes_of(home)]
        for pid in processes_of(home):
            os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"processes outlived the engine: {left}") from None
