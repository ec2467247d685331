"""The shim's loop: a defect of ours costs one client its connection, a lack of descriptors one request."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import EngineError
from engine.runtime import messages
from engine.runtime.control import Connection
from engine.runtime.failures import LaunchFailed
from engine.runtime.loop import IN, Loop
from engine.runtime.stdio import Stdio
from support.containers import Runtime, children_of, is_spare
from support.forked import in_child
from support.waiting import eventually

OUTPUT = {"stdout": True, "stderr": True}


def defect(*arguments: object) -> None:
    raise TypeError("a defect")


def descriptors(pid: int | str = "self") -> set[int]:
    listed = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return {fd for fd in listed if os.path.lexists(f"/proc/{pid}/fd/{fd}")}  # without the one that listed them


@contextmanager
def room_for(count: int, pid: int = 0) -> Iterator[None]:
    """The process may have ``count`` descriptors more."""
    gc.collect()  # what closes by itself would make room
    had = descriptors(pid or "self")
    limit = next(itertools.islice((number for number in itertools.count() if number not in had), count, None))
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


# --- defects -----------------------------------------------------------------------------------------------------


def test_a_defect_ends_what_it_belongs_to_and_is_told() -> None:
    told: list[Exception] = []
    loop = Loop(told.append)
    served: list[str] = []
    pairs = [socket.socketpair(), socket.socketpair()]
    broken, fine = (ours for ours, _ in pairs)
    loop.watch(broken.fileno(), IN, defect, lambda: (loop.forget(broken.fileno()), served.append("ended")))
    loop.watch(fine.fileno(), IN, lambda events: served.append(fine.recv(9).decode()), fine.close)
    loop.later(0, defect)
    loop.later(0, lambda: served.append("later"))
    for _, theirs in pairs:
        theirs.send(b"x")
    loop.turn()
    assert served == ["ended", "x", "later"] and [str(error) for error in told] == ["a defect"] * 2
    for one in (*pairs[0], *pairs[1]):
        one.close()


def test_a_defect_in_what_nobody_can_do_without_ends_the_loop() -> None:
    loop = Loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.watch(ours.fileno(), IN, defect)
        theirs.send(b"x")
        with pytest.raises(TypeError):
            loop.turn()


def test_a_client_with_a_defect_costs_the_others_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    told: list[Exception] = []
    loop = Loop(told.append)
    stdio = Stdio(loop, str(tmp_path), tty=False, open_stdin=False, stdin_once=False)
    pairs = [socket.socketpair(), socket.socketpair()]
    for ours, _ in pairs:
        stdio.attach(ours.detach(), OUTPUT)
    monkeypatch.setattr(stdio.clients[0], "_send", defect)
    os.write(stdio.for_child[1], b"output")
    stdio.open()
    while stdio.clients and not told:
        loop.turn()
    assert pairs[0][1].recv(99) == b"" and pairs[1][1].recv(99) == b"output"
    assert [str(error) for error in told] == ["a defect"] and len(stdio.clients) == 1
    stdio.finish()
    for _, theirs in pairs:
        theirs.close()


def test_a_defect_while_a_daemon_is_served_ends_its_connection(monkeypatch: Any) -> None:
    told: list[Exception] = []
    loop = Loop(told.append)
    ours, theirs = messages.pair()
    gone: list[Connection] = []
    with theirs:
        Connection(loop, ours, defect, gone.append)
        messages.send(theirs, {"id": 1, "op": "hello"})
        loop.turn()
        assert messages.receive(theirs) is None and len(gone) == len(told) == 1


# --- a lack of descriptors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", range(5))
def test_streams_leave_nothing_open_where_descriptors_run_out(room: int, tmp_path: Path) -> None:
    before = descriptors()
    with room_for(room), pytest.raises(OSError) as caught:
        Stdio(Loop(), str(tmp_path), tty=False, open_stdin=True, stdin_once=False)
    assert caught.value.errno == errno.EMFILE and descriptors() == before


def test_a_message_whose_descriptors_did_not_arrive() -> None:
    """In a child, which has no other thread that could take the one descriptor."""

    def received() -> None:
        ours, theirs = messages.pair()
        with ours, theirs:
            for message, known in (({"id": 7}, {"id": 7}), ({"long": "x" * 70_000}, None)):
                messages.send(theirs, message, [0, 0])
                with room_for(1), pytest.raises(messages.Truncated) as caught:
                    messages.receive(ours)
                assert caught.value.message == known and len(caught.value.fds) == 1
                os.close(caught.value.fds[0])

    in_child(received)


@pytest.mark.parametrize("room", [0, 1])
def test_a_spawner_without_descriptors_refuses_and_lives(runtime: Runtime, room: int) -> None:
    assert runtime.run("echo", "before").out == "before\n"
    pid = runtime.supervisor.spawner_pid
    assert pid is not None
    with room_for(room, pid), pytest.raises(LaunchFailed, match="out of descriptors|too many open files"):
        runtime.run("true")
    assert runtime.run("echo", "after").out == "after\n"
    assert runtime.supervisor.spawner_pid == pid


def test_a_spawner_without_descriptors_lets_a_shim_that_comes_back_go(runtime: Runtime) -> None:
    container = runtime.start("true")
    container.wait()
    container = runtime.start("sleep", "100")
    spawner, shim = runtime.supervisor.spawner_pid, container.shim_pid()
    assert spawner is not None
    with room_for(0, spawner):
        runtime.supervisor.signal(container.id, signal.SIGKILL)
        container.wait()
        eventually(lambda: shim not in children_of(spawner), what="the shim has ended")
    assert runtime.run("echo", "after").out == "after\n"
    assert runtime.supervisor.spawner_pid == spawner


def test_a_shim_without_descriptors_refuses_an_exec_and_lives(runtime: Runtime) -> None:
    container = runtime.start("sleep", "100")
    shim = container.shim_pid()
    assert runtime.exec(container, "echo", "before").out == "before\n"
    eventually(lambda: not any(map(is_spare, children_of(shim))), what="the launcher has left")
    had = descriptors(shim)
    for room in range(1, 12):
        with room_for(room, shim):
            try:
                runtime.exec(container, "true")
            except EngineError as error:
                assert "too many open files" in str(error).lower() or "ended while" in str(error)
        eventually(lambda: descriptors(shim) == had, what="it holds what it held")
    assert runtime.exec(container, "echo", "after").out == "after\n"
    assert not container.of_type("lost")
