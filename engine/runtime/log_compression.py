"""A file that a log's rotation has put aside becomes ``<file>.gz``, made by a process of its own.

The name in the gzip header (RFC 1952, FNAME) is the inode of the file before: whoever was reading that finds its place.
"""

from __future__ import annotations

import os

from engine.kernel.process import close_all_but, set_name

PACKED = ".gz"
_OUTPUTS = (1, 2)


class Compression:
    """At most one file at a time."""

    def __init__(self) -> None:
        self._done = -1

    def begin(self, path: str) -> None:
        """Raises OSError where there is no process for it; then the file stays as it is."""
        self._done, done = os.pipe2(os.O_CLOEXEC)
        try:
            pid = os.fork()
        except OSError:
            os.close(done)
            self.wait()
            raise
        if pid == 0:
            _compress_and_exit(path, done)
        os.close(done)

    def wait(self) -> None:
        """Until nobody works on a file any more. A pipe tells, since whoever forks for others reaps them, too."""
        if self._done >= 0:
            os.read(self._done, 1)
            os.close(self._done)
            self._done = -1


def _compress_and_exit(path: str, done: int) -> None:
    """What can't be compressed (a full disk) stays as it is, and can be read as well."""
    status = 1
    try:
        set_name("docket-log")
        close_all_but({*_OUTPUTS, done})
        compress(path)
        status = 0
    finally:
        os._exit(status)


def compress(path: str) -> None:
    """Durable before the file itself goes. Raises OSError."""
    from gzip import GzipFile  # here, since few logs are compressed, and a shim never needs it

    partial = f"{path}.partial"
    with open(path, "rb") as source, open(partial, "wb") as target:
        before = os.fstat(source.fileno())
        os.fchmod(target.fileno(), before.st_mode & 0o777)
        with GzipFile(str(before.st_ino), "wb", 6, target) as packed:
            while data := source.read(65536):
                packed.write(data)
        target.flush()
        os.fsync(target.fileno())
    os.rename(partial, path + PACKED)
    os.unlink(path)
