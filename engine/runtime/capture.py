"""What a process writes, kept in memory up to a bound: the shim's end of a probe's output."""

from __future__ import annotations


class Capture:
    """Takes the place of a log in Stdio: both streams, in the order in which they come; what exceeds is dropped."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._data = bytearray()

    def write(self, stream: str, data: bytes) -> None:
        """Keep what there is room for."""
        self._data += data[: self._limit - len(self._data)]

    def finish(self, stream: str) -> None:
        """The stream has ended."""

    def close(self) -> None:
        """Nothing more comes."""

    @property
    def text(self) -> str:
        """What came; bytes that are no UTF-8 become U+FFFD."""
        return self._data.decode("utf-8", "replace")
