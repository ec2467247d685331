"""The daemon's side of the runtime: everything that services ask of containers' processes.

One thread reads what shims say (``links``), others deliver it (``mailboxes``); whoever calls waits for the answer
itself. Whether a shim lives is told by its container's lock alone (see ``adopt``), never by a pid.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Any, Callable, Sequence

from engine.domain.error_reports import from_report
from engine.domain.errors import Conflict, EngineError, Unavailable, describe
from engine.kernel import sockets
from engine.runtime import journal, messages, sweep
from engine.runtime.attachment import Attachment, close_all, wishes
from engine.runtime.control import socket_name
from engine.runtime.failures import LaunchFailed, exec_failed, launch_failed, os_error
from engine.runtime.link import ANSWER_S, Link
from engine.runtime.links import Links
from engine.runtime.mailboxes import Mailboxes
from engine.runtime.spawner_process import SpawnerProcess
from engine.runtime.user_network import slirp_socket

_ADOPTION_S = 15.0
_FAREWELL_S = 10.0
_FDS_A_MESSAGE = 200
_SHIM_SETTINGS = ("container_id", "directory", "socket_folder", "cgroup_path", "stdio", "log", "listeners")
"""What of the plan the shim itself needs; the rest is for its launcher."""
LOCK_NAME = "shim.lock"


class Supervisor:
    """``on_message(container_id, message)`` gets the news of each container in order; it may block.

    ``spawner_argv_module`` is executed for the workers (see ``spawner``); shims come from one that knows no jobs. At
    the socket ``door`` it takes commands of others. Both live in the user namespace of ``namespace_fd``, where one is
    given (see ``rootless``), with ``environment`` besides.
    """

    def __init__(
        self, *, run_dir: Path, spawner_argv_module: str, on_message: Callable[[str, dict[str, Any]], None],
        door: Path | None = None, namespace_fd: int = -1, environment: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._shims = Path(run_dir) / "shims"
        self._shims.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(self._shims, 0o700)
        self._on_message = on_message
        self._mailboxes = Mailboxes(self._deliver)
        where: dict[str, Any] = {"namespace_fd": namespace_fd, "environment": environment}
        self._spawner = SpawnerProcess("engine.runtime.spawner", **where)
        self._workers = SpawnerProcess(spawner_argv_module, [str(door)] if door else [], **where)
        self._links = Links([self._spawner, self._workers], on_news=self._heard, on_end=self._ended)

    @property
    def spawner_pid(self) -> int | None:
        """The spawner's pid, for diagnosis."""
        return self._spawner.pid

    # --- containers ------------------------------------------------------------------------------------------------

    def launch(
        self, plan: dict[str, Any], lock_fd: int, attachments: Sequence[Attachment] = (), held: Sequence[int] = ()
    ) -> dict[str, Any]:
        """Start a container's first process: {"pid", "started_at_us", "evidence", "warnings"}.

        ``lock_fd`` holds the container's liveness lock; the shim keeps it from now on, and ``held``, the sockets of the
        plan's "listeners" in their order. Raises LaunchFailed, and then nothing of the container is left.
        """
        plan = {**plan, "socket_folder": str(self._shims)}
        try:
            own = self._spawner.fork(
                {"op": "shim"}, [lock_fd], lambda shim: _hand_over(shim, plan, attachments, held)
            )
        except OSError as error:
            raise LaunchFailed(
                f"the shim can't be started: {describe(error)}", step=getattr(error, "step", "spawner.fork"),
                errno=error.errno or 0, exit_code=128,
            ) from error  # fmt: skip
        finally:
            close_all(attachments)
        try:
            answer = messages.receive(own)
            if answer is None:
                raise self._shim_died(plan)
            if answer[0]["type"] == "failed":
                raise launch_failed(answer[0])
        except BaseException:
            own.close()
            raise
        self._links.add(Link(plan["container_id"], plan["directory"], own))
        return {key: answer[0][key] for key in ("pid", "started_at_us", "evidence", "warnings")}

    def _shim_died(self, plan: dict[str, Any]) -> LaunchFailed:
        """It was killed in the middle of a launch, and can't tidy up any more."""
        message = "the shim ended during the launch (was it killed?)"
        self._forget_socket(plan["container_id"])
        try:
            self.run_job("container.sweep", {"cgroup_path": plan["cgroup_path"]})
        except (OSError, EngineError) as error:
            message += f"; and afterwards: {describe(error)}"
        return LaunchFailed(message, step="spawner.fork", errno=0, exit_code=128)

    def adopt(self, container_id: str, directory: str) -> list[dict[str, Any]]:
        """What the shim wrote down, oldest first; and {"type": "adopted"} last where it lives and is connected now,
        with the ids of execs that it is setting up ("starting"): news will tell what becomes of them.

        News from then on arrive through ``on_message``, perhaps one that the records have too. Raises Unavailable
        where a shim lives (its lock is held) and can't be reached.
        """
        deadline = time.monotonic() + _ADOPTION_S
        while True:
            if _is_lock_free(directory):
                self._forget_socket(container_id)
                return journal.read(directory)
            connected = self._connect(container_id, directory)
            if connected is not None:
                link, starting = connected
                records = journal.read(directory)  # after the connection: nothing can fall between the two
                if not any(record["type"] == "exited" for record in records):
                    return [*records, {"type": "adopted", "starting": starting}]
                self._links.drop(link)  # it is about to leave
            if time.monotonic() > deadline:
                raise Unavailable(f"the shim of container {container_id} lives and does not answer")
            time.sleep(0.005)

    def _connect(self, container_id: str, directory: str) -> tuple[Link, list[str]] | None:
        """A connection, and the execs that are being set up."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sockets.by_folder(f"{self._shims}/{socket_name(container_id)}", sock.connect)
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            return None  # not bound yet, or just unbound
        link = Link(container_id, directory, sock)
        self._links.add(link)
        try:
            answer = link.ask({"op": "hello"})
        except EngineError:
            self._links.drop(link)
            return None
        return None if "error" in answer else (link, answer.get("starting", []))  # a shim of before says no more

    def signal(self, container_id: str, signal: int) -> None:
        """Send a signal to the first process. Raises NotFound, ProcessLookupError."""
        self._ask(container_id, {"op": "signal", "signal": int(signal)})

    def pause(self, container_id: str) -> None:
        """Freeze every process; returns when all stand still."""
        self._ask(container_id, {"op": "pause"})

    def resume(self, container_id: str) -> None:
        """Thaw; without effect where nothing is frozen."""
        self._ask(container_id, {"op": "resume"})

    def update(self, container_id: str, resources: dict[str, Any]) -> dict[str, Any]:
        """Change limits of a running container (``linux.resources``): {"warnings", "limits"}, the latter as the kernel
        has them now. Raises OSError, and then they are as before."""
        answer = self._links.of(container_id).ask({"op": "update", "resources": resources})
        if "error" in answer:
            raise os_error(answer["error"])
        return {key: answer[key] for key in ("warnings", "limits")}

    def serve_names(self, container_id: str) -> None:
        """Have the shim run a resolver for a container that has come to a network with names; one that runs, stays."""
        self._ask(container_id, {"op": "names"})

    def hold_ports(self, container_id: str, held: Sequence[int], listeners: Sequence[dict[str, Any]]) -> None:
        """Hand sockets that hold the host's ports to the shim, beside those that it has; ours are the caller's."""
        for start in range(0, len(held), _FDS_A_MESSAGE):
            part = slice(start, start + _FDS_A_MESSAGE)
            self._ask(container_id, {"op": "hold", "listeners": list(listeners[part])}, held[part])

    def release_ports(self, container_id: str) -> None:
        """Have the shim let go of all ports that it holds."""
        self._ask(container_id, {"op": "release"})

    def resize(self, container_id: str, exec_id: str | None, rows: int, cols: int) -> None:
        """The size of a terminal in characters: the container's, or an exec's. Raises Conflict where it has none."""
        try:
            self._ask(container_id, {"op": "resize", "exec_id": exec_id, "rows": rows, "columns": cols})
        except OSError as error:
            if error.errno == errno.ENOTTY:
                raise Conflict(error.strerror) from error
            raise

    def attach(self, container_id: str, attachment: Attachment) -> None:
        """One more client of the container's stdio."""
        try:
            self._ask(container_id, {"op": "attach", "client": wishes(attachment)}, [attachment.fd])
        finally:
            os.close(attachment.fd)

    def exec(self, container_id: str, plan: dict[str, Any], attachment: Attachment | None) -> dict[str, Any]:
        """One more process in the container: {"pid", "started_at_us"}. Raises LaunchFailed, NotFound, Leaving."""
        request = {"op": "exec", "plan": plan, "client": wishes(attachment) if attachment else None}
        try:
            answer = self._links.of(container_id).ask(request, [attachment.fd] if attachment else [])
        finally:
            close_all([attachment] if attachment else [])
        if "error" in answer:
            raise exec_failed(container_id, answer["error"])
        return {"pid": answer["pid"], "started_at_us": answer["started_at_us"]}

    def kill_first(self, pid: int, pid_namespace: int) -> None:
        """End what is left of a container whose shim is gone, where there are no cgroups. Raises OSError."""
        sweep.kill_first(pid, pid_namespace)

    def probe(self, container_id: str, plan: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Run a command in the container and wait for its end, or kill it after ``timeout_s``: {"exit_code", "output"
        (its first 4096 bytes), "timed_out", "started_at_us", "finished_at_us"}. Raises as ``exec``."""
        request = {"op": "probe", "plan": plan, "timeout_s": timeout_s}
        answer = self._links.of(container_id).ask(request, wait_s=timeout_s + ANSWER_S)
        if "error" in answer:
            raise exec_failed(container_id, answer["error"])
        return answer

    def _ask(self, container_id: str, request: dict[str, Any], fds: Sequence[int] = ()) -> None:
        answer = self._links.of(container_id).ask(request, fds)
        if "error" in answer:
            raise os_error(answer["error"])

    # --- workers ---------------------------------------------------------------------------------------------------

    def run_job(self, name: str, arguments: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """Have a worker process do a job, and wait for it. Raises what the job raised, or EngineError where it died."""
        with self._workers.fork({"op": "job", "name": name, "arguments": arguments}, fds) as own:
            answer = messages.receive(own)
        if answer is None:
            raise EngineError(f"the worker that did {name!r} ended before it was done (was it killed?)")
        if "error" in answer[0]:
            raise from_report(answer[0]["error"])
        return answer[0]["result"]

    # --- news ------------------------------------------------------------------------------------------------------

    def _heard(self, link: Link, news: dict[str, Any]) -> None:
        self._mailboxes.put(link.container_id, news)

    def _ended(self, link: Link) -> None:
        """The connection is gone, and most likely the shim. Its last words may have reached the disk only."""
        if not link.told_the_end:
            self._mailboxes.put(link.container_id, {"type": "lost", "directory": link.directory})

    def _last_words(self, container_id: str, directory: str) -> dict[str, Any] | None:
        """What became of a shim whose connection ended: its journal's last word, or that it is lost, or that it lives,
        by its lock, and can't be reached. None where it is connected again."""
        deadline = time.monotonic() + _FAREWELL_S
        while not _is_lock_free(directory):
            if self._connect(container_id, directory) is not None:
                return None
            if time.monotonic() > deadline:
                return {"type": "defect", "message": "the shim lives, and can't be reached: its connection has ended"}
            time.sleep(0.001)  # the kernel closes a dying process's descriptors one after the other
        self._forget_socket(container_id)
        last = [record for record in journal.read(directory) if record["type"] == "exited"]
        return last[0] if last else {"type": "lost"}

    def _deliver(self, container_id: str, news: dict[str, Any]) -> None:
        """Clients of an exec see its end only when it is on record: then its exit code can be asked for."""
        if news["type"] == "lost":
            words = self._last_words(container_id, news["directory"])
            if words is None:
                return
            news = words
        self._on_message(container_id, news)
        if news["type"] == "exec_exited":
            link = self._links.get(container_id)
            if link is not None:
                link.tell({"op": "seen", "exec_id": news["exec_id"]})

    def _forget_socket(self, container_id: str) -> None:
        (self._shims / socket_name(container_id)).unlink(missing_ok=True)
        Path(slirp_socket(str(self._shims), container_id)).unlink(missing_ok=True)

    def close(self) -> None:
        """Stop listening. Containers go on; what was heard is delivered before this returns."""
        self._links.stop_reading()
        self._mailboxes.close()
        self._spawner.close()
        self._workers.close()
        self._links.close()


def _hand_over(
    own: socket.socket, plan: dict[str, Any], attachments: Sequence[Attachment], held: Sequence[int]
) -> None:
    """Give a shim what it needs. One that has given up already may have said why: that is read next."""
    settings = {key: plan.get(key) for key in _SHIM_SETTINGS}
    settings["clients"] = [wishes(attachment) for attachment in attachments]
    try:
        messages.send(own, settings, [attachment.fd for attachment in attachments])
        for start in range(0, len(held), _FDS_A_MESSAGE):
            messages.send(own, {"type": "held"}, held[start : start + _FDS_A_MESSAGE])
        messages.send(own, {"plan": plan})
    except ConnectionError:
        return


def _is_lock_free(directory: str) -> bool:
    """Whether no shim of the container lives, and no launch is in flight."""
    try:
        fd = os.open(f"{directory}/{LOCK_NAME}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
