"""The shim: one small process a container, from its launch to its end.

It holds the stdio, writes log and journal, serves the daemon's requests, and outlives the daemon. It is the parent of
the container's first process and of every exec, so that their pids can't be reused before it has seen their ends, and
the subreaper of what they leave. It holds the liveness lock, which nobody else keeps. What such a process does before
its container comes, and after it has gone, is in ``shim_process``.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import time

from engine.kernel import cgroups
from engine.kernel.process import children, ended_children, exit_code_of, kill_children, signal_fd
from engine.kernel.steps import step
from engine.runtime import messages, other_runtime
from engine.runtime.buffered_log import BufferedLog
from engine.runtime.control import Connection, Control
from engine.runtime.exec_process import Target
from engine.runtime.execs import Execs
from engine.runtime.journal import Journal
from engine.runtime.json_log import JsonLog
from engine.runtime.launch import died
from engine.runtime.launcher import Launcher
from engine.runtime.loop import IN, Loop, tell
from engine.runtime.messages import Message
from engine.runtime.oom_watch import OomWatch
from engine.runtime.setup import Json, failure
from engine.runtime.shim_network import ShimNetwork
from engine.runtime.stdio import Stdio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LINGER_S = 60.0
"""How long a client that doesn't read may keep the last output of an ended container waiting."""
SHORT_LIFE_S = 1.0
"""How long a container's launcher stays: where the container ends sooner, the next one is launched by the same two."""
_QUICK_S = 0.2
_MOST_DEFECTS = 16


class Shim:
    """State of one container."""

    def __init__(self, connection: socket.socket, lock_fd: int, settings: Json, launcher: Launcher) -> None:
        self._launcher = launcher
        self._directory: str = settings["directory"]
        self._lock_fd = lock_fd
        self._loop = Loop(self._defect)
        self._defects: set[str] = set()
        self._control = Control(
            self._loop, settings["socket_folder"], settings["container_id"], connection, self._requested
        )
        self._cgroup = cgroups.Cgroup(settings["cgroup_path"])
        self._oom_watch = OomWatch(self._loop, self._cgroup, self._note_oom)
        self._network = ShimNetwork(
            self._loop, self._directory, settings["socket_folder"], settings["container_id"]
        )
        self._stdio: Stdio | None = None
        self._pid = self._pid_fd = -1
        self._oom_score = 0
        self._log_failed = False
        self._made_by: tuple[Json, str] | None = None
        self._ended = False
        self._leaves_nothing = False
        self._lingers_until = 0.0

    @property
    def is_as_new(self) -> bool:
        """Whether its process may serve another container: this one has ended, and nothing of it is left but objects
        and descriptors. A container that lived for long has let the launcher go."""
        launcher = self._launcher
        return (
            self._leaves_nothing and not self._defects and launcher.may_serve_again and children() == [launcher.pid]
        )

    # --- launch ----------------------------------------------------------------------------------------------------

    def launch(self, settings: Json, fds: list[int], held: list[int]) -> bool:
        """Whether there is a container to serve now. What failed is told, and nothing of it is left."""
        try:
            self._network.hold(held, settings.get("listeners") or [])
            report = self._launch(settings, fds)
        except Exception as error:
            report = failure(error)
        if report["type"] == "launched":
            return True
        self._undo(report)
        if report["type"] != "aborted":
            messages.send(self._control.first.socket, report)
        return False

    def _launch(self, settings: Json, fds: list[int]) -> Json:
        """The launcher's report."""
        self._launcher.begin(self._directory, settings["cgroup_path"], self._control.first.socket)
        self._signals = signal_fd([signal.SIGCHLD])
        self._journal = Journal(self._directory)
        self._stdio = self._open_stdio(settings)
        self._control.listen()
        for fd, wishes in zip(fds, settings["clients"], strict=True):
            self._stdio.attach(fd, wishes)
        self._launcher.give_stdio(self._stdio.for_child)
        received = self._launcher.report()
        report, terminal = received if received is not None else (died("the launcher of the container"), [])
        if report["type"] == "launched":
            self._take_over(report, terminal)
        return report

    def _take_over(self, report: Json, fds: list[int]) -> None:
        assert self._stdio is not None
        count = report["resolver_fds"]
        self._network.take_over(fds[:count], report["helper_pid"])
        terminal = fds[count:]
        self._pid = report["pid"]
        self._pid_fd = os.pidfd_open(self._pid)  # it is our child and not reaped yet
        self._oom_score = report["oom_score"]
        self._made_by = (report["oci_runtime"], report["container_id"]) if report.get("oci_runtime") else None
        self._stdio.open(terminal[0] if terminal else -1)
        self._oom_watch.begin()
        self._loop.watch(self._signals, IN, self._children_ended)
        self._has_own_pids = report["own_pids"]
        target = Target(self._cgroup, self._pid, self._pid_fd, set(report["kinds"]), tuple(report["root"]))
        self._execs = Execs(self._loop, self._directory, self._journal, self._control, target)
        self._control.serve_first()
        self._loop.later(SHORT_LIFE_S, self._launcher.dismiss)

    def _open_stdio(self, settings: Json) -> Stdio:
        wishes, log = settings.get("stdio") or {}, settings.get("log")
        return Stdio(
            self._loop, self._directory, tty=bool(wishes.get("tty")), open_stdin=bool(wishes.get("open_stdin")),
            stdin_once=bool(wishes.get("stdin_once")),
            log=self._open_log(log) if log else None, on_log_error=self._log_error,
            on_detached=lambda: self._control.tell_all({"type": "detached"}),
        )  # fmt: skip

    def _open_log(self, settings: Json) -> JsonLog | BufferedLog:
        log = JsonLog(
            settings["path"], settings["max_bytes"], settings["max_files"], settings["attributes"], settings["compress"]
        )
        buffer = settings.get("buffer_bytes")
        return BufferedLog(self._loop, log, buffer) if buffer else log

    def _log_error(self, error: Exception) -> None:
        """The container goes on without its log, and the daemon is told once."""
        if not self._log_failed:
            self._log_failed = True
            message = getattr(error, "strerror", None) or str(error)
            self._control.tell_all({"type": "log_failed", "message": message})

    def _defect(self, error: Exception) -> None:
        """Of ours, contained by the loop. The daemon is told of each once: somebody may bring it about often."""
        tell(error)
        message = failure(error)["message"]
        if message not in self._defects and len(self._defects) < _MOST_DEFECTS:
            self._defects.add(message)
            self._control.tell_all({"type": "defect", "message": message})

    def _undo(self, report: Json) -> None:
        """Leave nothing of a launch that failed: all our children are its launcher, its init and helpers."""
        try:
            self._launcher.end()
            with step("cgroup.kill"):
                self._cgroup.kill()
            kill_children()  # where there are no cgroups; and what carries the network
            _reap_all()
            with step("cgroup.remove"):
                self._cgroup.remove()
        except OSError as error:
            report["message"] = f"{report.get('message', '')}; and afterwards: {failure(error)['message']}"
        if self._stdio is not None:
            self._stdio.abandon()
        self._control.close()

    # --- life ------------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Until the container has ended and its clients have their output."""
        while (
            not self._ended or self._execs.waits_to_be_seen
            or self._clients() and time.monotonic() < self._lingers_until
        ):  # fmt: skip
            self._loop.turn()

    def _clients(self) -> int:
        return len(self._stdio.clients) if self._stdio is not None else 0

    def _note_oom(self, kills: int) -> None:
        news: Json = {"type": "oom", "kills": kills}
        try:
            self._journal.append(news, durable=False)
        except OSError as error:
            news["unrecorded"] = failure(error)["message"]
        self._control.tell_all(news)

    def _children_ended(self, events: int) -> None:
        try:
            os.read(self._signals, 4096)
        except BlockingIOError:
            return
        ended = None
        for pid, status in ended_children():
            if pid == self._pid:
                ended = status
            else:
                self._reaped(pid, status)
        if ended is not None:
            self._end(exit_code_of(ended))

    def _reaped(self, pid: int, status: int) -> None:
        """The end of a child that is not the first process."""
        if pid == self._launcher.pid:
            self._launcher.has_ended()
        elif not self._network.has_ended(pid):
            self._execs.ended(pid, exit_code_of(status))

    # --- requests --------------------------------------------------------------------------------------------------

    def _requested(self, connection: Connection, request: Message, fds: list[int]) -> None:
        """Serve one request of a daemon. A descriptor that nobody took is closed."""
        try:
            answer = self._perform(connection, request, fds)
        except Exception as error:
            answer = {"error": failure(error)}
        for fd in fds:
            os.close(fd)
        if answer is not None:
            connection.send({"reply": request["id"], **answer})

    def _perform(self, connection: Connection, request: Message, fds: list[int]) -> dict[str, Any] | None:
        if request["op"] == "seen":
            self._execs.seen(request["exec_id"])
            return None
        if self._ended or self._pid < 0:
            raise ProcessLookupError(3, "the container has ended")
        match request["op"]:
            case "hello":
                return {"starting": self._execs.hand_over()}
            case "signal":
                with step("signal.send"):
                    signal.pidfd_send_signal(self._pid_fd, request["signal"])
            case "pause":
                with step("freezer.freeze"):
                    self._cgroup.freeze()
            case "resume":
                with step("freezer.thaw"):
                    self._cgroup.thaw()
            case "update":
                return self._update(request["resources"])
            case "resize":
                stdio = self._execs.stdio_of(request["exec_id"]) if request["exec_id"] else self._stdio
                stdio.resize(request["rows"], request["columns"])
            case "names":
                self._network.serve_names(self._pid)
            case "hold":
                held, fds[:] = fds[:], []  # they are its own now, whatever becomes of them
                self._network.hold(held, request["listeners"])
            case "release":
                self._network.release()
            case "attach":
                self._stdio.attach(fds.pop(), request["client"])
            case "exec":
                self._refuse_while_frozen()
                plan = {"oomScoreAdj": self._oom_score, **request["plan"]}
                self._execs.start(connection, request["id"], plan, request["client"], fds)
                return None
            case "probe":
                self._refuse_while_frozen()
                plan = {"oomScoreAdj": self._oom_score, **request["plan"]}
                self._execs.probe(connection, request["id"], plan, request["timeout_s"])
                return None
            case other:
                raise OSError(22, f"the shim knows no request {other!r}")
        return {}

    def _refuse_while_frozen(self) -> None:
        if self._cgroup.is_frozen():
            raise OSError(errno.EBUSY, "the container is paused")

    def _update(self, resources: Json) -> Json:
        """New limits for the living; where one of them can't be had, all are as before."""
        before = self._cgroup.read_limits()
        try:
            with step("cgroup.limit"):
                warnings = self._cgroup.apply(resources)
        except OSError:
            self._cgroup.restore(before)
            raise
        return {"warnings": warnings, "limits": self._cgroup.read_limits()}

    # --- the end ---------------------------------------------------------------------------------------------------

    def _end(self, exit_code: int) -> None:
        """The first process is gone: end the rest, record it durably, then tell."""
        finished_at_us = time.time_ns() // 1000
        leftover = self._kill_the_rest()
        self._execs.all_ended()
        self._network.end_helper()
        self._stdio.finish()
        self._oom_watch.end()
        leftover = leftover or self._tell_other_runtime() or self._remove_cgroups()
        record: Json = {
            "type": "exited", "exit_code": exit_code, "oom_killed": self._oom_watch.kills > 0,
            "finished_at_us": finished_at_us,
        }  # fmt: skip
        if leftover:
            record["leftover"] = leftover
        try:
            self._journal.append(record)
        except OSError as error:
            record["unrecorded"] = failure(error)["message"]  # a full disk must not keep the daemon from knowing
        self._leaves_nothing = not (leftover or self._made_by)
        self._ended = True
        self._control.close()
        self._network.close()
        os.close(self._lock_fd)  # before anybody is told: who hears of the end may start it again at once
        self._lingers_until = time.monotonic() + LINGER_S
        self._loop.later(LINGER_S, lambda: None)
        self._control.tell_all(record)

    def _kill_the_rest(self) -> str:
        """In the host's pid namespace what the first process forked outlives it; of one of its own the kernel has left
        nothing (pid_namespaces(7)). Answers with why something doesn't die."""
        try:
            if not self._has_own_pids:
                with step("cgroup.kill"):
                    self._cgroup.kill()
        except OSError as error:
            return failure(error)["message"]
        for pid, status in ended_children():
            self._reaped(pid, status)
        return ""

    def _tell_other_runtime(self) -> str:
        """That its container is gone, where another one has made it. Its state lies in the container's folder."""
        if self._made_by is None:
            return ""
        try:
            os.chdir(self._directory)
            other_runtime.delete(*self._made_by)
        except OSError as error:
            return failure(error)["message"]
        return ""

    def _remove_cgroups(self) -> str:
        """Why they are still there, or nothing. Somebody may have put a process of the host's there: it is killed."""
        try:
            with step("cgroup.remove"):
                try:
                    self._cgroup.remove(_QUICK_S)
                except OSError:
                    self._cgroup.kill()
                    self._cgroup.remove()
        except OSError as error:
            return failure(error)["message"]
        return ""


def _reap_all() -> None:
    """Wait for the end of every child. An init that is in no cgroup yet leaves by itself when its launcher is gone."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def rehearse(folder: str) -> None:
    """The life of a shim without a container, in a folder that nobody else sees (see ``rehearsal``)."""
    ours, theirs = messages.pair()
    settings: Json = {
        "container_id": "rehearsal", "directory": folder, "socket_folder": folder, "cgroup_path": "docket/rehearsal",
        "stdio": {}, "clients": [],
        "log": {"path": f"{folder}/log", "max_bytes": 0, "max_files": 1, "attributes": {}, "compress": False},
    }  # fmt: skip
    with ours:
        shim = Shim(theirs, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), settings, Launcher())
        shim._network.hold([], [])
        shim._signals = signal_fd([signal.SIGCHLD])
        shim._journal = Journal(folder)
        shim._stdio = shim._open_stdio(settings)
        shim._control.listen()
        report = {
            "pid": os.getpid(), "kinds": [], "oom_score": 0, "own_pids": True, "root": (0, 0), "resolver_fds": 0,
            "helper_pid": -1,
        }  # fmt: skip
        shim._take_over(report, [])
        shim._end(0)
        shim.serve()
        for fd in (shim._signals, shim._pid_fd):
            os.close(fd)
