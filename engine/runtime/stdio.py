"""A process's standard streams, as the shim holds them: pipes or a terminal, the log, the attached clients."""

from __future__ import annotations

import errno
import os

from engine.kernel.terminals import set_window_size
from engine.runtime.clients import Client
from engine.runtime.buffered_log import BufferedLog
from engine.runtime.json_log import JsonLog
from engine.runtime.loop import IN, OUT, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

READ_BYTES = 65536
_INPUT_BYTES = 256 * 1024
"""How much input may wait for the process before its clients are not read any more."""


_LAST_READS = 64
"""What an ended process left in a pipe is less than this; only others that share the pipe could go on for ever."""


class Input:
    """The writing end of the process's standard input. Never blocks; ``on_room`` is called when it may go on."""

    def __init__(self, loop: Loop, fd: int, on_room: Callable[[], None]) -> None:
        self._loop = loop
        self._fd = fd
        self._on_room = on_room
        self._pending = bytearray()
        self._ending = False

    @property
    def is_open(self) -> bool:
        return self._fd >= 0 and not self._ending

    @property
    def is_full(self) -> bool:
        return len(self._pending) >= _INPUT_BYTES

    def write(self, data: bytes) -> None:
        """Hand over, now or when the process reads."""
        if not self.is_open:
            return
        self._pending += data
        self._write_some()

    def end(self) -> None:
        """Close when all is written."""
        self._ending = True
        if not self._pending:
            self.close()

    def _write_some(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(self._fd, self._pending[:READ_BYTES])]
        except BlockingIOError:
            self._loop.watch(self._fd, OUT, lambda events: self._room(), self.close)
            return
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self._pending.clear()  # nobody reads it any more
            self.close()
            return
        self._loop.forget(self._fd)
        if self._ending:
            self.close()

    def _room(self) -> None:
        self._write_some()
        if not self.is_full:
            self._on_room()

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.forget(self._fd)
            os.close(self._fd)
            self._fd = -1


class Stdio:
    """Make the descriptors with ``for_child``, clone, then ``open``. ``folder`` is where slow clients' output waits."""

    def __init__(
        self, loop: Loop, folder: str, *, tty: bool, open_stdin: bool, stdin_once: bool, captured: bool = True,
        log: JsonLog | BufferedLog | None = None, on_log_error: Callable[[Exception], None] | None = None,
        on_detached: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._loop = loop
        self._folder = folder
        self._tty = tty
        self._stdin_once = stdin_once
        self._log = log
        self._on_log_error = on_log_error
        self._on_detached = on_detached
        self._outputs: dict[str, int] = {}
        self._input: Input | None = None
        self._terminal = -1
        self._typed_ahead = bytearray()
        self.clients: list[Client] = []
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.for_child = [self._null] * 3
        try:
            if not tty and open_stdin:
                self.for_child[0], writer = os.pipe2(os.O_CLOEXEC)
                self._input = self._new_input(writer)
            for number, name in ((1, "stdout"), (2, "stderr")) if captured and not tty else ():
                self._outputs[name], self.for_child[number] = os.pipe2(os.O_CLOEXEC)
        except OSError:
            self.abandon()
            raise

    def _new_input(self, fd: int) -> Input:
        os.set_blocking(fd, False)
        return Input(self._loop, fd, lambda: self._hold_clients(False))

    def open(self, terminal_fd: int = -1) -> None:
        """The child has its ends: close ours of those, and begin to read. Raises OSError."""
        self._close_childs()
        if terminal_fd >= 0:
            os.set_blocking(terminal_fd, False)
            self._terminal = terminal_fd
            self._outputs["stdout"] = terminal_fd
            self._input = self._new_input(os.dup(terminal_fd))
            self._input.write(bytes(self._typed_ahead))
            self._typed_ahead.clear()
            self._hold_clients(self._input.is_full)
        for name, fd in self._outputs.items():
            os.set_blocking(fd, False)
            self._watch(name, fd)

    def _watch(self, name: str, fd: int) -> None:
        self._loop.watch(fd, IN, lambda events: self._readable(name, fd), lambda: self._end_of(name, fd))

    def _close_childs(self) -> None:
        for fd in {*self.for_child, self._null} if self.for_child else ():
            os.close(fd)
        self.for_child = []

    # --- output ----------------------------------------------------------------------------------------------------

    def _readable(self, stream: str, fd: int) -> bool:
        """Take what is there; False where there is nothing now, or nothing any more."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # how a terminal says that nobody has its other end any more
                raise
            data = b""
        if not data:
            self._end_of(stream, fd)
            return False
        self._to_log(lambda log: log.write(stream, data))
        for client in list(self.clients):
            self._loop.contain(client.leave, client.write, stream, data)
        return True

    def _end_of(self, stream: str, fd: int) -> None:
        self._loop.forget(fd)
        os.close(fd)
        del self._outputs[stream]
        if fd == self._terminal:
            self._terminal = -1
        self._to_log(lambda log: log.finish(stream))

    def _to_log(self, act: Callable[[JsonLog | BufferedLog], None]) -> None:
        if self._log is None:
            return
        try:
            act(self._log)
        except Exception as error:  # a defect there must cost no more than the log
            if self._on_log_error is not None:
                self._on_log_error(error)

    # --- input and clients -----------------------------------------------------------------------------------------

    def attach(self, fd: int, wishes: dict[str, Any]) -> None:
        """A client joins; its descriptor belongs to it from here on."""
        client = Client(
            self._loop, fd, wishes, self._folder, self._from_client, self._client_left, self._on_detached
        )
        self.clients.append(client)
        if wishes.get("logs") and self._log is not None:
            client.replay(self._log)
        client.input(bytes.fromhex(wishes.get("early") or ""))

    def _from_client(self, client: Client, data: bytes) -> None:
        if not data:
            self._input_ended(client)
        elif self._input is not None:
            self._input.write(data)
            if self._input.is_full:
                self._hold_clients(True)
        elif self._tty:  # its terminal is made by the process itself, a moment from now
            self._typed_ahead += data
            if len(self._typed_ahead) >= _INPUT_BYTES:
                self._hold_clients(True)

    def _input_ended(self, client: Client) -> None:
        """The client half-closed, or left. For a terminal that means it leaves; else it may want the rest of the
        output, and with ``stdin_once`` the process gets to see the end of its input."""
        if self._tty:
            client.wants_input = False
            client.leave()
        elif self._stdin_once and self._input is not None:
            self._input.end()

    def _client_left(self, client: Client) -> None:
        self.clients.remove(client)
        if client.wants_input and self._stdin_once and not self._tty and self._input is not None:
            self._input.end()

    def _hold_clients(self, on: bool) -> None:
        for client in self.clients:
            if client.wants_input:
                client.hold(on)

    def resize(self, rows: int, columns: int) -> None:
        """The terminal's size. Raises OSError where it has none."""
        if self._terminal < 0:
            raise OSError(errno.ENOTTY, "the process has no terminal")
        set_window_size(self._terminal, rows, columns)

    # --- the end ---------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The process has ended: take what is left in the pipes and close everything but the clients' backlogs."""
        for name, fd in list(self._outputs.items()):
            for _ in range(_LAST_READS):
                if not self._readable(name, fd):
                    break
            if name in self._outputs:
                self._end_of(name, fd)  # somebody else has the other end still
        if self._input is not None:
            self._input.close()
        if self._log is not None:
            self._log.close()
            self._log = None
        for client in list(self.clients):
            client.wants_input = False
            self._loop.contain(client.leave, client.finish)

    def abandon(self) -> None:
        """The process never came to be; why, the daemon tells the clients."""
        for client in list(self.clients):
            client.wants_input = False
            client.release()
        self._close_childs()
        self.finish()
