"""The supervisor's hold on the spawner: it is started at once, and again whenever it died."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
import time
from typing import Any, Callable, Sequence

from engine.domain.errors import Unavailable
from engine.kernel.steps import step
from engine.runtime import interpreter, messages

_SANE_LIFE_S = 2.0
"""One that dies sooner is started again by the next request only, so that a broken one doesn't loop."""
_FAREWELL_S = 5.0
_ATTEMPTS = 4


class SpawnerProcess:
    """Requests may come from any thread."""

    def __init__(
        self, module: str, words: Sequence[str] = (), *, namespace_fd: int = -1,
        environment: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._module = module
        self._words = words
        self._namespace_fd = namespace_fd
        self._environment = environment
        self._lock = threading.Lock()
        self._copy = interpreter.sealed_copy()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid_fd = -1
        self._socket: socket.socket | None = None
        self._number = 0
        self._started_at_s = 0.0
        self._closed = False
        with self._lock:
            self._start()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    def watch(self, seen: int) -> tuple[int, int] | None:
        """(number of this spawner, a pidfd that gets readable when it ends and belongs to the caller); None where the
        caller has seen this one, or there is none."""
        with self._lock:
            if self._process is None or self._number == seen:
                return None
            return self._number, os.dup(self._pid_fd)

    def _start(self) -> None:
        own, spawners = messages.pair()
        try:
            with step("spawner.start"):
                process = interpreter.run_module(
                    self._module, self._copy, spawners.fileno(), self._words, namespace_fd=self._namespace_fd,
                    environment=self._environment,
                )  # fmt: skip
                self._pid_fd = os.pidfd_open(process.pid)
        except OSError:
            own.close()  # with it ends one that was started
            raise
        finally:
            spawners.close()
        self._process = process
        self._socket = own
        self._number += 1
        self._started_at_s = time.monotonic()

    def fork(
        self, request: dict[str, Any], fds: Sequence[int] = (), ahead: Callable[[socket.socket], None] | None = None
    ) -> socket.socket:
        """Have it fork a shim or a worker: the connection to the child, which lives. Raises OSError.

        A spawner may die with the request in its queue: where no child has said that it is there, nothing has been
        done, and the next spawner gets the request. ``ahead`` sends what the child reads first, so that nothing has to
        be waited for between the two; for each such child anew.
        """
        for _ in range(_ATTEMPTS):
            own, childs = messages.pair()
            try:
                self._request(request, [childs.fileno(), *fds])
                childs.close()
                if ahead is not None:
                    ahead(own)
                answer = messages.receive(own)
                if answer is not None and answer[0]["type"] == "forked":
                    return own
            except BaseException:
                own.close()
                raise
            finally:
                childs.close()
            own.close()
            if answer is not None:
                raise _error(answer[0])
        text = f"the spawner took none of {_ATTEMPTS} requests (is it killed, or out of descriptors?)"
        raise OSError(errno.ECHILD, text)

    def _request(self, message: dict[str, Any], fds: Sequence[int]) -> None:
        """Hand over a request. Where the spawner has died since, another one gets it. Raises OSError."""
        with self._lock:
            if self._closed:
                raise Unavailable("the engine is stopping")
            if self._socket is not None:
                try:
                    messages.send(self._socket, message, fds)
                    return
                except (BrokenPipeError, ConnectionResetError):
                    self._bury()
            self._start()
            assert self._socket is not None
            messages.send(self._socket, message, fds)

    def died(self, number: int) -> None:
        """The end of a spawner was seen: reap it and start another, unless it has hardly lived."""
        with self._lock:
            if self._closed or self._socket is None or self._number != number:
                return
            lived_s = time.monotonic() - self._started_at_s
            self._bury()
            if lived_s >= _SANE_LIFE_S:
                self._start()

    def _bury(self) -> None:
        assert self._socket is not None and self._process is not None
        self._socket.close()
        self._socket = None
        os.close(self._pid_fd)
        try:
            self._process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()  # it closed its socket and goes on
            self._process.wait()
        self._process = None

    def close(self) -> None:
        """Let it end, and with it its workers."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                self._bury()
            os.close(self._copy)


def _error(report: dict[str, Any]) -> OSError:
    error = OSError(report["errno"], report["message"])
    error.step = report["step"]  # type: ignore[attr-defined]
    return error
