"""What goes to somebody outside: a terminal to whoever listens on --console-socket, a seccomp filter's listener to its
agent, a pid into a file."""

from __future__ import annotations

import os

from engine.kernel import json_text, sockets
from engine.kernel.process import copy_descriptor
from engine.kernel.terminals import copy_window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Json = dict[str, "Any"]


class Failed(Exception):
    """What was asked for can't be; one line."""


def hand_over(terminal_fd: int, options: Json) -> int:
    """Give the master of a terminal away; where it stays with us it gets the size of our own, and is answered."""
    if terminal_fd < 0:
        return -1
    if not options.get("console-socket"):
        if os.isatty(0):
            copy_window_size(0, terminal_fd)
        return terminal_fd
    send_terminal(str(options["console-socket"]), terminal_fd)
    return -1


def send_terminal(path: str, fd: int) -> None:
    """As runc does it: the descriptor with the name of the device as data. It is closed."""
    try:
        with sockets.connect(path, sockets.SOCK_STREAM) as sock:
            sock.sendmsg([b"/dev/ptmx"], sockets.rights([fd]))
    finally:
        os.close(fd)


def send_listener(listener: Json, pid: int, number: int, state: Json) -> None:
    """The container process state (runtime specification, config-linux.md "The Container Process State") with the
    descriptor that the process ``pid`` has as ``number``."""
    pid_fd = os.pidfd_open(pid)
    fd = -1
    try:
        fd = copy_descriptor(pid_fd, number)
        text = {
            "ociVersion": state["ociVersion"], "fds": ["seccompFd"], "pid": pid, "metadata": listener["metadata"],
            "state": state,
        }  # fmt: skip
        with sockets.connect(listener["path"], sockets.SOCK_STREAM) as sock:
            sock.sendmsg([json_text.dumps(text).encode()], sockets.rights([fd]))
    finally:
        os.close(pid_fd)
        if fd >= 0:
            os.close(fd)


def write_pid(path: str, pid: int) -> None:
    """Whole or not at all: somebody waits for the file to be there. No link of the folder's owner is followed."""
    folder, name = os.path.split(os.path.abspath(path))
    fresh = os.path.join(folder, f".{name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(fd, "w") as file:
        file.write(str(pid))
    os.rename(fresh, path)
