"""A container's log in the mode "non-blocking": a disk that is slow, or stuck, never holds the container up.

A process of its own writes the files. What it has not taken yet waits in the shim up to a bound; beyond that output is
left out of the log, and the daemon is told so. At the container's end the shim waits until all of it is written.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections import deque

from engine.kernel.process import close_all_but, set_name
from engine.runtime.json_log import JsonLog
from engine.runtime.loop import OUT, Loop

_HEAD = struct.Struct("!BBI")
_WRITE, _FINISH = range(2)
_STREAMS = ("stdout", "stderr")
_OUTPUTS = (1, 2)


class BufferedLog:
    """Takes the place of a JsonLog, which it hands over to the writer. ``max_bytes`` is what may wait."""

    def __init__(self, loop: Loop, log: JsonLog, max_bytes: int) -> None:
        self._loop = loop
        self._log = log
        self._max_bytes = max_bytes
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._watched = False
        self._drops = False
        reader, self._pipe = os.pipe2(os.O_CLOEXEC)
        self._done, done = os.pipe2(os.O_CLOEXEC)
        self.writer = os.fork()
        if self.writer == 0:
            _be_the_writer(log, reader, done)
        for fd in (reader, done):
            os.close(fd)
        log.close()
        os.set_blocking(self._pipe, False)

    def write(self, stream: str, data: bytes) -> None:
        """Take in what a stream gave, or leave it out. Raises OSError once in a row where it is left out, and where the
        writer is gone."""
        if self._bytes + len(data) > self._max_bytes and self._waiting:
            if not self._drops:
                self._drops = True
                raise OSError(errno.ENOBUFS, "the log's buffer is full: output is left out of the log")
            return
        self._drops = False
        self._send(_WRITE, stream, data)

    def finish(self, stream: str) -> None:
        """The stream has ended."""
        self._send(_FINISH, stream, b"")

    def _send(self, kind: int, stream: str, data: bytes) -> None:
        self._waiting.append(_HEAD.pack(kind, _STREAMS.index(stream), len(data)) + data)
        self._bytes += len(self._waiting[-1])
        if not self._watched:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                count = os.write(self._pipe, self._waiting[0])
                self._bytes -= count
                if count < len(self._waiting[0]):
                    self._waiting[0] = self._waiting[0][count:]
                else:
                    self._waiting.popleft()
        except BlockingIOError:
            pass  # the rest when it has read
        except BrokenPipeError:
            self._watch(False)
            raise self._reason() from None
        self._watch(bool(self._waiting))

    def _reason(self) -> OSError:
        """Why the writer has gone."""
        number = int(os.read(self._done, 16) or errno.EPIPE)
        return OSError(number, os.strerror(number))

    def _watch(self, on: bool) -> None:
        if on and not self._watched:
            self._loop.watch(self._pipe, OUT, self._writable, lambda: self._watch(False))
        elif self._watched and not on:
            self._loop.forget(self._pipe)
        self._watched = on

    def _writable(self, events: int) -> None:
        try:
            self._flush()
        except OSError:
            return  # the next output says so

    def paths(self) -> list[str]:
        """The files of the log, oldest first; some may not be there yet."""
        return self._log.paths()

    def unfinished(self) -> list[tuple[str, bytes]]:
        """Known to the writer alone."""
        return []

    def close(self) -> None:
        """Wait until everything that was taken in is written."""
        self._watch(False)
        os.set_blocking(self._pipe, True)
        try:
            while self._waiting:
                part = self._waiting.popleft()
                while part:
                    part = part[os.write(self._pipe, part) :]
        except BrokenPipeError:
            pass  # it could not write, and has said so
        os.close(self._pipe)
        while os.read(self._done, 16):
            pass  # why it failed, where nobody has asked
        os.close(self._done)
        try:
            os.waitpid(self.writer, 0)
        except ChildProcessError:
            return  # the shim's loop has seen its end


def _be_the_writer(log: JsonLog, reader: int, done: int) -> None:
    """The other process: until the shim closes its end. A disk that refuses ends it, which the shim gets to see."""
    status = 1
    try:
        set_name("docket-log")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever compresses a file is reaped by the kernel
        close_all_but({*_OUTPUTS, log.fileno(), reader, done})
        with open(reader, "rb", closefd=False) as source:
            while head := source.read(_HEAD.size):
                kind, stream, length = _HEAD.unpack(head)
                if kind == _WRITE:
                    log.write(_STREAMS[stream], source.read(length))
                else:
                    log.finish(_STREAMS[stream])
        status = 0
    except OSError as error:
        os.write(done, str(error.errno).encode())
    finally:
        os._exit(status)
