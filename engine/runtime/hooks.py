"""Hooks (runtime specification, config.md "POSIX-platform Hooks"): programs that are run in a container's life.

    prestart, createRuntime   by the launcher, in its own namespaces; the root is not taken yet
    createContainer           by the init, in the container's namespaces, at the same moment, afterwards
    startContainer            by the init, in the container's root, as its user, just before its command
    poststart, poststop       by the launcher, once the command was executed; once the container is gone

Each gets the container's state on its standard input.
"""

from __future__ import annotations

import errno
import os
import select
import time

import _signal as signal

from engine.kernel import json_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

Json = dict[str, "Any"]
POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_SAID_BYTES = 4096
_SHOWN_CHARACTERS = 200


def run(hooks: Sequence[Json] | None, state: Json, point: str) -> None:
    """In order. Raises OSError where one fails or takes too long."""
    for hook in hooks or ():
        _run(hook, state, point)


def run_all(hooks: Sequence[Json] | None, state: Json, point: str, warn: Callable[[str], None]) -> None:
    """Each of them, whatever becomes of the others: what fails is a warning."""
    for hook in hooks or ():
        try:
            _run(hook, state, point)
        except OSError as error:
            warn(f"{error.filename}: {error.strerror}")


def _run(hook: Json, state: Json, point: str) -> None:
    name = f"{point} hook {hook['path']}"
    if not hook["path"].startswith("/"):
        raise OSError(errno.EINVAL, "the path of a hook must be absolute", name)
    given = os.memfd_create("hook-state", os.MFD_CLOEXEC)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        os.write(given, json_text.dumps(state).encode())
        os.lseek(given, 0, os.SEEK_SET)
        try:
            pid = _spawn(hook, given, writer)
        except OSError as error:
            raise OSError(error.errno, error.strerror, name) from error
        finally:
            os.close(writer)
        said = _wait(pid, reader, hook.get("timeout") or None)
    finally:
        os.close(reader)
        os.close(given)
    _, status = os.waitpid(pid, 0)
    if said is None:
        raise OSError(errno.ETIMEDOUT, f"it took longer than {hook['timeout']} s", name)
    if status != 0:
        words = " ".join(said.decode(errors="replace").split())[:_SHOWN_CHARACTERS]
        raise OSError(errno.ECANCELED, f"exit status {os.waitstatus_to_exitcode(status)}: {words}", name)


def _spawn(hook: Json, given: int, writer: int) -> int:
    environment = dict(entry.partition("=")[::2] for entry in hook.get("env") or [])
    streams = [(os.POSIX_SPAWN_DUP2, given, 0), (os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
    caught = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, 32, 33}  # two are the C library's
    return os.posix_spawn(
        hook["path"], hook.get("args") or [hook["path"]], environment, file_actions=streams, setsigmask=[],
        setsigdef=caught,
    )  # fmt: skip


def _wait(pid: int, reader: int, timeout_s: float | None) -> bytes | None:
    """What it said until it ended, whoever still holds its output; None where it had to be killed."""
    said = b""
    end_s = None if timeout_s is None else time.monotonic() + timeout_s
    pid_fd = os.pidfd_open(pid)
    os.set_blocking(reader, False)
    poll = select.poll()
    poll.register(pid_fd, select.POLLIN)
    poll.register(reader, select.POLLIN)
    try:
        while True:
            ready = poll.poll(None if end_s is None else max(0.0, end_s - time.monotonic()) * 1000)
            if not ready:
                signal.pidfd_send_signal(pid_fd, signal.SIGKILL)
                return None
            fds = [fd for fd, _ in ready]
            if reader in fds:
                part = _read(reader)
                said = (said + part)[:_SAID_BYTES]
                if not part:
                    poll.unregister(reader)
            elif pid_fd in fds:
                return said
    finally:
        os.close(pid_fd)


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except BlockingIOError:
        return b""
