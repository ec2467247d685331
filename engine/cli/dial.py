"""``docket system dial-stdio``: the bytes of the engine's socket on this process's streams. The far end of ssh://."""

from __future__ import annotations

import os
import select
from _socket import MSG_DONTWAIT, MSG_NOSIGNAL

from engine.cli.command import Command
from engine.cli.flags import Options
from engine.cli.output import STDOUT
from engine.cli.session import Session
from engine.client.connection import Connection

_STDIN = 0
_READ_BYTES = 65536


def dial(session: Session, options: Options, arguments: list[str]) -> int:
    """Carry until the engine hangs up. The end of our input is a half-close; what the engine says goes on."""
    address = session.client.address
    session.close()
    before = os.get_blocking(STDOUT)
    os.set_blocking(STDOUT, False)
    try:
        _Carrier(Connection(address)).run()
    finally:
        os.set_blocking(STDOUT, before)
    return 0


class _Carrier:
    """Each direction waits for its own reader alone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._there = b""
        self._here = b""
        self._input_ends = self._output_ends = False

    def run(self) -> None:
        while self._here or not self._output_ends:
            ready = dict(self._polled())
            if ready.get(_STDIN, 0) & ~select.POLLOUT and not self._there and not self._input_ends:
                self._read_stdin()
            if ready.get(self._connection.fileno()) or self._connection.has_early_bytes:
                self._exchange()
            self._write()

    def _polled(self) -> list[tuple[int, int]]:
        poll = select.poll()
        reads, writes = not self._here and not self._output_ends, bool(self._there)
        if reads or writes:
            events = (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)
            poll.register(self._connection.fileno(), events)
        if not self._there and not self._input_ends:
            poll.register(_STDIN, select.POLLIN)
        if self._here:
            poll.register(STDOUT, select.POLLOUT)
        return poll.poll(0 if reads and self._connection.has_early_bytes else None)

    def _read_stdin(self) -> None:
        try:
            self._there = os.read(_STDIN, _READ_BYTES)
        except BlockingIOError:
            return
        if not self._there:
            self._input_ends = True
            self._connection.close_write()

    def _exchange(self) -> None:
        sock = self._connection.socket
        try:
            if self._there:
                self._there = self._there[sock.send(self._there, MSG_DONTWAIT | MSG_NOSIGNAL) :]
        except BlockingIOError:
            pass  # it takes some later
        except (BrokenPipeError, ConnectionResetError):  # nobody reads it any more; what the engine said may still come
            self._there, self._input_ends = b"", True
        try:
            if not self._here and not self._output_ends:
                self._here = sock.recv(_READ_BYTES, MSG_DONTWAIT)
                self._output_ends = not self._here
        except BlockingIOError:
            return
        except ConnectionResetError:
            self._output_ends = True

    def _write(self) -> None:
        try:
            if self._here:
                self._here = self._here[os.write(STDOUT, self._here) :]
        except BlockingIOError:
            return


DIAL = Command(dial, "", most=0, examples="ssh host docket system dial-stdio")
