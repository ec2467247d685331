"""Docker's multiplexed stream: frames of ``[stream, 0, 0, 0, length as 4 bytes big-endian]`` and their payload.

Docker Engine API, "Attach to a container", stream format.
"""

from __future__ import annotations

from engine.client.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

STDIN, STDOUT, STDERR, SYSTEM_ERROR = range(4)
_HEADER_BYTES = 8


class FrameReader:
    """Takes the stream in pieces of any size, gives (stream, payload) as soon as any payload is there."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = STDOUT
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The payloads in ``data``; a frame may come in several. Raises ProtocolError."""
        at = 0
        while at < len(data):
            if self._left:
                payload = data[at : at + self._left]
                at += len(payload)
                self._left -= len(payload)
                yield self._stream, payload
                continue
            wanted = _HEADER_BYTES - len(self._header)
            self._header += data[at : at + wanted]
            at += wanted
            if len(self._header) == _HEADER_BYTES:
                self._begin_frame()

    def _begin_frame(self) -> None:
        self._stream = self._header[0]
        if self._stream > SYSTEM_ERROR:
            raise ProtocolError(f"unrecognized stream: {self._stream}")
        self._left = int.from_bytes(self._header[4:], "big")
        self._header = b""
