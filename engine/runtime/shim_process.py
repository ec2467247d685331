"""The process of a shim: it waits for a container, is its shim to the end, and may wait for another one then.

It serves again where the container lived for a moment only and ended in order (``Shim.is_as_new``). Then all that it
had of that container, objects and descriptors, is gone before the spawner hears that it is free.
"""

from __future__ import annotations

import gc
import os
import socket
import weakref

from engine.kernel.process import close_all_but, set_child_subreaper, set_name
from engine.runtime import messages
from engine.runtime.launcher import Launcher
from engine.runtime.shim import Shim

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.runtime.messages import Socket

MOST_LIVES = 100
"""What a process gathers in its memory over many containers goes with it."""


def main(waiting: Socket, home: Socket) -> None:
    """The whole life of a shim, in a process that the spawner forked. Returns when it is to end.

    ``waiting`` brings the first container, ``home`` leads to the spawner."""
    os.setsid()
    set_name("docket-spare")
    set_child_subreaper()
    launcher = Launcher()
    try:
        launcher.fork()
    except OSError:
        pass  # it is tried again, and told, when there is somebody to tell
    try:
        for life in range(MOST_LIVES):
            if life:
                waiting = _come_back(home)
            with waiting:
                given = messages.receive(waiting)
            if given is None:
                return  # the spawner has ended, or has enough of us
            set_name("docket-shim")
            if not _serve(*given[1], launcher):
                return
            set_name("docket-spare")
            close_all_but((0, 1, 2, home.fileno(), launcher.fileno()))
    except (BrokenPipeError, ConnectionResetError):
        return  # nobody is at home: the spawner has ended
    finally:
        launcher.end()


def _serve(connection_fd: int, lock_fd: int, launcher: Launcher) -> bool:
    """Be the shim of one container. Whether nothing of it is left afterwards but descriptors that no object owns."""
    connection = socket.socket(fileno=connection_fd)
    messages.send(connection, {"type": "forked"})
    received = messages.receive(connection)
    if received is None:
        return False
    shim = Shim(connection, lock_fd, received[0], launcher)
    if not shim.launch(received[0], received[1], _held(connection, len(received[0].get("listeners") or ()))):
        return False
    del received
    shim.serve()
    if not shim.is_as_new:
        return False
    remains = weakref.ref(shim)
    del shim, connection
    gc.collect()
    return remains() is None


def _held(connection: socket.socket, count: int) -> list[int]:
    """The sockets that hold the host's ports, which follow in messages of their own."""
    held: list[int] = []
    while len(held) < count and (received := messages.receive(connection)) is not None:
        held += received[1]
    return held


def _come_back(home: Socket) -> Socket:
    """Tell the spawner that we are free, and answer with the connection that brings the next container."""
    ours, theirs = messages.pair()
    with theirs:
        messages.send(home, {"type": "free"}, [theirs.fileno()])
    return ours
