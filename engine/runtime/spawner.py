"""The spawner: forks shims, or workers, for the daemon, and does nothing else.

It has imported everything that they need, so that a fork is all that a container's launch costs; and of shims it keeps
one ahead (see ``spare``). The daemon runs two of it: one for shims, and one for workers, whose imports would weigh on
every shim. When the daemon ends, its end of the socket closes and the spawner ends too; shims go on, workers end with
it.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time

from engine.domain.error_reports import to_report
from engine.domain.errors import EngineError
from engine.kernel import cgroups
from engine.kernel.namespaces import clone
from engine.kernel.process import (
    ended_children, run_and_exit, set_dumpable, set_name, set_parent_death_signal, signal_fd,
)  # fmt: skip
from engine.kernel.steps import step
from engine.runtime import init, messages, rehearsal, sweep
from engine.runtime.setup import failure
from engine.runtime.spare import Spare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]
    Visit = Callable[[socket.socket], None]

_SHORT_S = 0.1
_USUAL_ARGUMENTS = 4
"""Of ``interpreter.run_module``: the program, the folder of its modules, the module, the descriptor."""

_DEEPEST_CALLS = 5000
"""Walks through trees call themselves twice a folder, and a path has at most 2048 of these; the stack holds more."""


def main(jobs: Mapping[str, Job], visit: Visit | None = None) -> None:
    """Serve until the daemon is gone. ``jobs`` are what workers can be asked for, by name.

    The last argument of the process is the number of the descriptor that leads to the supervisor; one before it is the
    path of a socket: each connection to it is a fork's, which calls ``visit``.
    """
    connection = socket.socket(fileno=int(sys.argv[-1]))
    connection.set_inheritable(False)
    ended = _settle()
    door = _open_door(sys.argv[-2]) if visit and len(sys.argv) > _USUAL_ARGUMENTS else None
    spare = Spare()
    poll = select.poll()
    for one in (ended, connection, spare, *([door] if door is not None else [])):
        poll.register(one, select.POLLIN)
    jobs = {**sweep.JOBS, **jobs}
    while True:
        if not (events := poll.poll(spare.pause_ms)):
            spare.rest()
            continue
        ready = events[0][0]
        if ready == ended:
            _reap(ended)
        elif ready == spare.fileno():
            spare.take_back()
        elif door is not None and visit is not None and ready == door.fileno():
            _receive(door, visit)
        elif not _take_request(connection, spare, jobs):
            return


def _settle() -> int:
    """Become what shims and workers are forks of. Answers with a descriptor that tells when one has ended."""
    set_name("docket-spawner")
    set_dumpable(False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # the end of the daemon ends it; shims, which inherit this, go on
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    ended = signal_fd([signal.SIGCHLD])
    cgroups.take_over()
    cgroups.detect()
    init.ask_once()
    rehearsal.rehearse()
    gc.collect()
    gc.freeze()  # children share these pages as long as the collector doesn't walk over them
    return ended


def _take_request(connection: socket.socket, spare: Spare, jobs: Mapping[str, Job]) -> bool:
    """Carry out what the daemon asks for next; False where it has ended."""
    try:
        received = messages.receive(connection)
    except messages.Truncated as error:
        _refuse(error)
        return True
    if received is None:
        return False
    request, fds = received
    own = socket.socket(fileno=fds[0])
    try:
        if request["op"] == "shim":
            _hand_over(spare, own, fds)
        else:
            _fork_worker(request, own, fds[1:], jobs)
    finally:
        own.close()
        for fd in fds[1:]:
            os.close(fd)
    return True


def _open_door(path: str) -> socket.socket | None:
    """A socket for root alone, in the place of one that a spawner before us has left."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    previous = os.umask(0o177)
    try:
        if os.path.exists(path):
            os.unlink(path)
        door.bind(path)
        door.listen(64)
    except OSError as error:
        print(f"docket: {path}: {error.strerror}", file=sys.stderr, flush=True)  # others do without
        door.close()
        return None
    finally:
        os.umask(previous)
    return door


def _receive(door: socket.socket, visit: Visit) -> None:
    """Who connects gets a process of its own, which outlives us."""
    try:
        visitor, _ = door.accept()
    except OSError:  # no descriptor is left, and who waits would be reported again at once
        time.sleep(_SHORT_S)
        return
    try:
        pid = clone(0)
    except OSError:
        pid = -1  # the visitor sees that nobody answers
    if pid != 0:
        visitor.close()
        return
    run_and_exit("visit", (visitor.fileno(),), lambda: visit(visitor))


def _refuse(error: messages.Truncated) -> None:
    """A request that came without its descriptors: the first one leads to who asks."""
    if error.fds:
        with socket.socket(fileno=error.fds[0]) as own:
            messages.send(own, {**failure(error), "step": "spawner.fork"})
    for fd in error.fds[1:]:
        os.close(fd)


def _reap(ended: int) -> None:
    """Shims and workers report for themselves: nobody waits for their exit status."""
    os.read(ended, 4096)
    for _ in ended_children():
        continue


def _hand_over(spare: Spare, own: socket.socket, fds: list[int]) -> None:
    """``fds``: the shim's connection to the daemon, which is ``own``, and its container's lock."""
    try:
        with step("spawner.fork"):
            spare.hand_over(fds)
    except OSError as error:
        messages.send(own, failure(error))


def _fork_worker(request: dict[str, Any], own: socket.socket, fds: list[int], jobs: Mapping[str, Job]) -> None:
    parent = os.getpid()
    try:
        with step("spawner.fork"):
            pid = clone(0)
    except OSError as error:
        messages.send(own, failure(error))
        return
    if pid != 0:
        return
    run_and_exit("worker", (own.fileno(), *fds), lambda: _work(request, own, fds, jobs, parent))


def _work(
    request: dict[str, Any], own: socket.socket, fds: list[int], jobs: Mapping[str, Job], parent: int
) -> None:
    """One job, and its result or its error as the only message that follows."""
    messages.send(own, {"type": "forked"})
    set_name("docket-worker")
    set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    sys.setrecursionlimit(_DEEPEST_CALLS)
    try:
        if request["name"] not in jobs:
            raise EngineError(f"the spawner knows no job {request['name']!r}")
        answer = {"result": jobs[request["name"]](request["arguments"], fds)}
    except Exception as error:  # carried over to the daemon, which raises it
        answer = {"error": to_report(error, f"job {request['name']}")}
    messages.send(own, answer)


def run() -> None:
    """Of shims; ``engine.spawner`` adds the jobs of the other rooms."""
    main({})
