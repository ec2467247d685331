"""DNS messages (RFC 1035, RFC 6891), as far as a resolver for a few names needs them."""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NAME_ERROR, NOT_IMPLEMENTED = 0, 1, 2, 3, 4
IN = 1
TTL_S = 600
"""As Docker has it; a resolver in a container's libc keeps nothing."""

_HEADER = struct.Struct(">HHHHHH")
_LONGEST_NAME = 255
_LONGEST_LABEL = 63
PLAIN_UDP_BYTES = 512


class Query:
    """One question. ``name`` is lower case, without the last dot; ``question`` is its raw text, to be echoed;
    ``udp_bytes`` is the longest answer that the asker takes over UDP."""

    __slots__ = ("id", "flags", "name", "kind", "question", "udp_bytes", "has_edns", "class_")

    def __init__(
        self, id: int, flags: int, name: str, kind: int, question: bytes, udp_bytes: int, has_edns: bool, class_: int
    ) -> None:
        self.id, self.flags, self.name, self.kind = id, flags, name, kind
        self.question, self.udp_bytes, self.has_edns, self.class_ = question, udp_bytes, has_edns, class_

    @property
    def opcode(self) -> int:
        """0 is a plain question."""
        return self.flags >> 11 & 0xF


def parse_query(data: bytes) -> Query | None:
    """None for what is no query with exactly one question."""
    if len(data) < 17:
        return None
    identifier, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & 0x8000 or questions != 1 or answers or authorities:
        return None
    labels, offset = [], 12
    while True:
        if offset >= len(data):
            return None
        length = data[offset]
        if length == 0:
            break
        if length > _LONGEST_LABEL or offset + length - 12 > _LONGEST_NAME:
            return None
        labels.append(data[offset + 1 : offset + 1 + length])
        offset += length + 1
    end = offset + 5
    if end > len(data):
        return None
    kind, class_ = struct.unpack_from(">HH", data, offset + 1)
    udp_bytes, has_edns = _edns(data, end) if additional else (PLAIN_UDP_BYTES, False)
    name = b".".join(labels).decode("latin-1").lower()
    return Query(identifier, flags, name, kind, data[12:end], udp_bytes, has_edns, class_)


def _edns(data: bytes, offset: int) -> tuple[int, bool]:
    """The size in an OPT record that comes first after the question (others don't concern us)."""
    if data[offset : offset + 1] == b"\0" and len(data) >= offset + 11:
        kind, size = struct.unpack_from(">HH", data, offset + 1)
        if kind == OPT:
            return max(size, PLAIN_UDP_BYTES), True
    return PLAIN_UDP_BYTES, False


def answer(query: Query, records: Sequence[tuple[int, bytes]] = (), code: int = NO_ERROR) -> bytes:
    """A whole answer: ``records`` are types and raw data, all of the name that was asked for."""
    flags = 0x8080 | query.flags & 0x7900 | code  # an answer, recursion available; opcode and RD as they were
    extra = b"\0" + struct.pack(">HHIH", OPT, 4096, 0, 0) if query.has_edns else b""
    head = _HEADER.pack(query.id, flags, 1, len(records), 0, 1 if extra else 0)
    body = b"".join(
        b"\xc0\x0c" + struct.pack(">HHIH", kind, IN, TTL_S, len(data)) + data for kind, data in records
    )
    return head + query.question + body + extra


def truncated(query: Query) -> bytes:
    """The answer that sends the asker to TCP."""
    whole = bytearray(answer(query))
    whole[2] |= 0x02
    return bytes(whole)


def encode_name(name: str) -> bytes | None:
    """"web.app" as labels; None for what is too long for a name (RFC 1035, 2.3.4), as a container's may be."""
    labels = [label.encode("latin-1", "replace") for label in name.split(".")]
    if not all(0 < len(label) <= _LONGEST_LABEL for label in labels):
        return None
    whole = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return whole if len(whole) <= _LONGEST_NAME else None
