"""A container's streams on a hijacked connection, carried to and from this process's own.

One thread and poll(2): what is typed is never sent in a way that blocks, since the container may be waiting for us to
take its output meanwhile.
"""

from __future__ import annotations

import os
import select
from _socket import MSG_DONTWAIT, MSG_NOSIGNAL

from engine.cli.output import STDERR, STDOUT, write_all
from engine.client import framing
from engine.client.connection import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.cli.terminal import DetachKeys

STDIN = 0
_READ_BYTES = 32768
_OUTPUTS = {framing.STDIN: STDOUT, framing.STDOUT: STDOUT, framing.STDERR: STDERR, framing.SYSTEM_ERROR: STDERR}


class Streams:
    """``framed`` output is taken apart into standard output and error; ``stdin`` says whether ours is sent."""

    def __init__(
        self, response: Response, *, framed: bool, stdin: bool = False, detach: DetachKeys | None = None
    ) -> None:
        self._connection = response.connection
        self._frames = framing.FrameReader() if framed else None
        self._detach = detach
        self._wants_stdin = stdin
        self._unsent = b""
        self._poll = select.poll()

    def carry(self) -> bool:
        """Until the container's output ends (True) or the user detaches (False)."""
        while True:
            while self._connection.has_early_bytes:
                self._write(self._connection.receive(_READ_BYTES))
            self._register()
            for fd, _ in self._poll.poll():
                if fd == self._connection.fileno():
                    data = self._exchange()
                    if data is not None and not data:
                        return True
                elif not self._read_stdin():
                    return False

    def _register(self) -> None:
        """Our input waits while there is something that the engine has not taken yet."""
        writing = select.POLLOUT if self._unsent else 0
        self._poll.register(self._connection.fileno(), select.POLLIN | writing)
        if self._wants_stdin and not self._unsent:
            self._poll.register(STDIN, select.POLLIN)
        else:
            try:
                self._poll.unregister(STDIN)
            except KeyError:
                return

    def _exchange(self) -> bytes | None:
        """Send what is unsent and take what has come; empty at the end of the output, None if nothing has come."""
        if self._unsent:
            self._send()
        try:
            data = self._connection.socket.recv(_READ_BYTES, MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            return b""
        self._write(data)
        return data

    def _write(self, data: bytes) -> None:
        if self._frames is None:
            write_all(STDOUT, data)
            return
        for stream, payload in self._frames.feed(data):
            write_all(_OUTPUTS[stream], payload)

    def _read_stdin(self) -> bool:
        """Take what was typed; False when it was the detach sequence."""
        try:
            typed = os.read(STDIN, _READ_BYTES)
        except OSError:  # closed, or a terminal that hung up: the end of the input
            typed = b""
        if not typed:
            self._wants_stdin = False
            self._connection.close_write()
            return True
        if self._detach is not None:
            typed = self._detach.feed(typed)
        self._unsent += typed
        self._send()
        return self._detach is None or not self._detach.detached

    def _send(self) -> None:
        if not self._unsent:
            return
        try:
            sent = self._connection.socket.send(self._unsent, MSG_DONTWAIT | MSG_NOSIGNAL)
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):  # nobody reads it any more; the output may still come
            self._wants_stdin, self._unsent = False, b""
            return
        self._unsent = self._unsent[sent:]
