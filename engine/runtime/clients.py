"""Attached clients: each has the socket of whoever sits at the other end, and gets what the process writes.

A client that reads slowly keeps nobody waiting: what it has not taken yet is kept in memory up to a bound, then in an
unlinked file in the container's folder, and one that lets more than that file may hold pile up is cut off.
"""

from __future__ import annotations

import os
import socket
from collections import deque

from engine.runtime.buffered_log import BufferedLog
from engine.runtime.json_log import JsonLog
from engine.runtime.loop import GONE, IN, OUT, Loop
from engine.runtime.replay import Replay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

MEMORY_BYTES = 512 * 1024
FILE_BYTES = 1 << 30
CHUNK_BYTES = 65536
_DONT_WAIT = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_HEADERS = {"stdout": b"\x01\0\0\0", "stderr": b"\x02\0\0\0"}


class Backlog:
    """Bytes that wait, in order: in memory first, in a file when there are many."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._replay: Replay | None = None
        self._replayed = b""
        self._parts: deque[bytes] = deque()
        self._bytes = 0
        self._file = -1
        self._read_at = self._written = 0

    def begin_with(self, replay: Replay) -> None:
        """What comes before everything else."""
        self._replay = replay

    def __bool__(self) -> bool:
        return self._replay is not None or bool(self._parts) or self._read_at < self._written

    def append(self, data: bytes) -> None:
        """Raises OSError where neither memory nor the file can take it."""
        if self._file < 0 and self._bytes + len(data) <= MEMORY_BYTES:
            self._parts.append(data)
            self._bytes += len(data)
            return
        if self._file < 0:
            flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
            self._file = os.open(self._folder, flags, 0o600)
        if self._written - self._read_at + len(data) > FILE_BYTES:
            raise OSError(27, "the client is too slow", self._folder)
        while data:
            count = os.pwrite(self._file, data, self._written)
            self._written += count
            data = data[count:]

    def first(self) -> bytes:
        """What is next; b"" where nothing waits."""
        if self._replay is not None:
            self._replayed = self._replayed or self._replay.next()
            if self._replayed:
                return self._replayed
            self._end_replay()
        if not self._parts and self._read_at < self._written:
            part = os.pread(self._file, CHUNK_BYTES, self._read_at)
            self._read_at += len(part)
            self._parts.append(part)
            self._bytes += len(part)
            if self._read_at == self._written:
                self.close()
        return self._parts[0] if self._parts else b""

    def taken(self, count: int) -> None:
        """The first ``count`` bytes of ``first`` are gone."""
        if self._replay is not None:
            self._replayed = self._replayed[count:]
            return
        part = self._parts.popleft()
        self._bytes -= count
        if count < len(part):
            self._parts.appendleft(part[count:])

    def _end_replay(self) -> None:
        if self._replay is not None:
            self._replay.close()
            self._replay = None

    def close(self) -> None:
        self._end_replay()
        if self._file >= 0:
            os.close(self._file)
        self._file, self._read_at, self._written = -1, 0, 0


class DetachKeys:
    """Finds the key sequence by which somebody at a terminal leaves, and holds back what may become it."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """(what goes on to the process, whether the sequence is complete)."""
        if not self._sequence:
            return data, False
        passed = bytearray()
        for byte in data:
            if byte == self._sequence[self._matched]:
                self._matched += 1
                if self._matched == len(self._sequence):
                    return bytes(passed), True
            else:
                passed += self._sequence[: self._matched]
                self._matched = int(byte == self._sequence[0])
                if not self._matched:
                    passed.append(byte)
        return bytes(passed), False


class Client:
    """``on_input(client, data)``: b"" is the end of the client's input, which may still want output."""

    def __init__(
        self, loop: Loop, fd: int, wishes: dict[str, Any], folder: str,
        on_input: Callable[[Client, bytes], None], on_gone: Callable[[Client], None],
        on_detached: Callable[[], None],
    ) -> None:  # fmt: skip
        self._loop = loop
        self._socket = socket.socket(fileno=fd)
        self._wanted = [name for name in ("stdout", "stderr") if wishes.get(name)]
        self._framed = bool(wishes.get("framed"))
        self._keys = DetachKeys(bytes.fromhex(wishes.get("detach_keys") or ""))
        self._backlog = Backlog(folder)
        self._on_input = on_input
        self._on_gone = on_gone
        self._on_detached = on_detached
        self.wants_input = bool(wishes.get("stdin"))
        self._held = self._ended = self._finishing = False
        self.gone = False
        self._watched = -1
        self._update()

    # --- what the process writes -----------------------------------------------------------------------------------

    def write(self, stream: str, data: bytes) -> None:
        """Hand over output, now or later."""
        if self.gone or stream not in self._wanted:
            return
        data = self._packed(stream, data)
        try:
            if not self._backlog:
                data = data[self._send(data) :]
            if data:
                self._backlog.append(data)
        except OSError:
            self.leave()
            return
        self._update()

    def replay(self, log: JsonLog | BufferedLog) -> None:
        """Give it first what is in the log, and what waits there for the end of its line."""
        self._backlog.begin_with(Replay(log.paths(), self._wanted, self._packed))
        for stream, data in log.unfinished():
            self.write(stream, data)
        self._update()

    def _packed(self, stream: str, data: bytes) -> bytes:
        return _HEADERS[stream] + len(data).to_bytes(4, "big") + data if self._framed else data

    def _send(self, data: bytes) -> int:
        try:
            return self._socket.send(data, _DONT_WAIT)
        except BlockingIOError:
            return 0

    def finish(self) -> None:
        """The process has ended: the client is let go when it has taken everything."""
        self._finishing = True
        if not self._backlog:
            self.leave()
        else:
            self._update()

    # --- what the client writes ------------------------------------------------------------------------------------

    def hold(self, on: bool) -> None:
        """Stop (or go on) reading what the client sends, while the process doesn't take it."""
        self._held = on
        self._update()

    def _readable(self) -> None:
        try:
            data = self._socket.recv(CHUNK_BYTES, _DONT_WAIT)
        except BlockingIOError:
            return
        self._ended = not data
        if self.wants_input:
            self._input(data)

    def input(self, data: bytes) -> None:
        """Bytes that came before the socket was handed over."""
        if data and self.wants_input:
            self._input(data)

    def _input(self, data: bytes) -> None:
        passed, left = self._keys.feed(data) if data else (b"", False)
        if passed or not data:
            self._on_input(self, passed)
        if left:
            self.wants_input = False  # leaving by keys is no end of the input
            self.leave()
            self._on_detached()

    # --- both ------------------------------------------------------------------------------------------------------

    def _update(self) -> None:
        if self.gone:
            return
        reads = not (self._held or self._ended or self._finishing)
        events = (IN if reads else 0) | (OUT if self._backlog else 0)
        if events != self._watched:
            self._watched = events
            self._loop.watch(self._socket.fileno(), events, self._serve, self.leave)

    def _serve(self, events: int) -> None:
        try:
            if events & OUT:
                self._flush()
            if events & IN and not self.gone:
                self._readable()
        except OSError:
            self.leave()
        if events & GONE and not events & IN and not self.gone:
            if self._held and not self._ended:
                self._loop.forget(self._socket.fileno())  # what it sent before it left is still to be read
                self._watched = -1
                return
            self.leave()
        self._update()

    def _flush(self) -> None:
        while part := self._backlog.first():
            count = self._send(part)
            if not count:
                return
            self._backlog.taken(count)
        if self._finishing:
            self.leave()

    def leave(self) -> None:
        """Close the connection."""
        if self.gone:
            return
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # others may hold the descriptor: the peer must see the end
        except OSError:
            pass  # it was gone before
        self.release()

    def release(self) -> None:
        """Close our descriptor alone: whoever handed it over has something to say on the connection yet."""
        if self.gone:
            return
        self.gone = True
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._backlog.close()
        self._on_gone(self)
