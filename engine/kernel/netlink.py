"""Netlink sockets (netlink(7)): attributes, requests with their answers, and dumps."""

from __future__ import annotations

import errno
import os
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1
_NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 8 << 20
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


class Message:
    """One message as it came: type, flags and payload without the header."""

    __slots__ = ("kind", "flags", "sequence", "payload")

    def __init__(self, kind: int, flags: int, sequence: int, payload: bytes) -> None:
        self.kind, self.flags, self.sequence, self.payload = kind, flags, sequence, payload


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(len(payload) + 4, kind) + payload + bytes(-len(payload) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | _NLA_F_NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    """A string attribute, with its NUL."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """A 32-bit attribute in the host's order, as rtnetlink has it."""
    return attribute(kind, struct.pack("=I", value))


def be32(kind: int, value: int) -> bytes:
    """A 32-bit attribute in network order, as nfnetlink has it."""
    return attribute(kind, struct.pack(">I", value & 0xFFFF_FFFF))


def parse(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in ``data``: type without flags, payload. What is cut short ends them."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            return
        yield kind & _NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in ``data`` by type; the last one of a type wins."""
    return dict(parse(data))


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """A whole message, padded."""
    return _HEADER.pack(16 + len(payload), kind, flags, sequence, 0) + payload + bytes(-len(payload) % 4)


class NetlinkSocket:
    """A socket of one netlink family in the network namespace of the thread that makes it. For one thread at a time."""

    def __init__(self, protocol: int, groups: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._sequence = 0
        try:
            self._socket.bind((0, groups))
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        except BaseException:
            self._socket.close()
            raise

    def widen_buffers(self) -> None:
        """For large batches and their answers."""
        for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
            except PermissionError:
                return  # without CAP_NET_ADMIN in the first user namespace: the usual size must do

    def next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def ask(self, kind: int, flags: int, payload: bytes, subject: str) -> list[Message]:
        """One request, and its answers; raises OSError about ``subject`` with what the kernel says of the reason.

        A request that is no dump must carry NLM_F_ACK, so that there is an end to its answers.
        """
        sequence = self.next_sequence()
        self.send(message(kind, flags | NLM_F_REQUEST, sequence, payload))
        found = []
        for answer in self.receive():
            if answer.sequence != sequence:
                continue  # of an earlier request that failed halfway
            if answer.kind == _NLMSG_DONE:
                return found
            if answer.kind == _NLMSG_ERROR:
                raise_error(answer, subject)
                return found
            found.append(answer)
        return found

    def send(self, data: bytes) -> None:
        """Raw messages, in one piece."""
        self._socket.sendto(data, (0, 0))

    def receive(self) -> Iterator[Message]:
        """What comes, without end: the caller knows when to stop."""
        while True:
            data = self._socket.recv(1 << 18)
            offset = 0
            while offset + 16 <= len(data):
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                if length < 16:
                    break
                yield Message(kind, flags, sequence, data[offset + 16 : offset + length])
                offset += (length + 3) & ~3

    def fileno(self) -> int:
        return self._socket.fileno()

    def discard(self) -> None:
        """Throw one waiting message away; that some were lost is no error."""
        try:
            self._socket.recv(1 << 18, socket.MSG_DONTWAIT)
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                raise

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def is_error(answer: Message) -> bool:
    """Whether it is an acknowledgement or an error."""
    return answer.kind == _NLMSG_ERROR


def raise_error(answer: Message, subject: str) -> None:
    """Raise the OSError that an NLMSG_ERROR carries; 0 is an acknowledgement and raises nothing."""
    (code,) = struct.unpack_from("=i", answer.payload)
    if code == 0:
        return
    reason = os.strerror(-code)
    if answer.flags & _NLM_F_ACK_TLVS:
        (length,) = struct.unpack_from("=I", answer.payload, 4)
        start = 20 if answer.flags & _NLM_F_CAPPED else 4 + ((length + 3) & ~3)
        note = attributes(answer.payload[start:]).get(_NLMSGERR_ATTR_MSG)
        if note:
            reason = f"{reason} ({note.rstrip(bytes(1)).decode(errors='replace').rstrip('.')})"
    raise OSError(-code, reason, subject)


def is_missing(error: OSError) -> bool:
    """Whether an error says that the object is not there (any more)."""
    return error.errno in (errno.ENODEV, errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)
