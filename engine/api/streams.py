"""Answers that grow. What goes wrong before their first piece has a status of its own; later it is a line."""

from __future__ import annotations

import itertools
from typing import Any, Iterator

from engine.api.documents import encode
from engine.api.exchange import Answer, Stream
from engine.api.status import message_of
from engine.domain.errors import EngineError


def json_lines(lines: Iterator[dict[str, Any]], source: Any = None) -> Answer:
    """``source`` is the generator to be closed at the end, where ``lines`` is not it. Raises what its first step
    raises."""
    first = next(lines, None)
    whole = lines if first is None else itertools.chain([first], lines)
    return Stream(_encoded(whole), release=(lines if source is None else source).close)


def byte_stream(pieces: Iterator[bytes], content_type: str) -> Answer:
    """Raises what the first step raises."""
    first = next(pieces, b"")
    return Stream(itertools.chain([first], pieces), content_type, release=getattr(pieces, "close"))


def frames(pieces: Iterator[dict[str, Any] | bytes]) -> Iterator[bytes]:
    """Docker's multiplexed stream: bytes as standard output, documents as lines of standard error."""
    try:
        for piece in pieces:
            stream, body = (1, piece) if isinstance(piece, bytes) else (2, encode_line(piece))
            yield bytes((stream, 0, 0, 0)) + len(body).to_bytes(4, "big") + body
    finally:
        getattr(pieces, "close")()


def _encoded(lines: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    try:
        for line in lines:
            yield encode_line(line)
    except (EngineError, OSError) as error:
        message = message_of(error)
        yield encode_line({"errorDetail": {"message": message}, "error": message})


def encode_line(value: dict[str, Any]) -> bytes:
    """Docker ends the documents of a progress stream with CRLF."""
    return encode(value).rstrip(b"\n") + b"\r\n"
