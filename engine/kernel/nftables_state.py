"""What there is in nf_tables, whoever has made it; and being told when somebody changes it."""

from __future__ import annotations

import select
import socket
import struct
from typing import NamedTuple

from engine.kernel.netlink import NETLINK_NETFILTER, NLM_F_DUMP, NetlinkSocket, attributes, parse, text
from engine.kernel.nftables import DROP, SUBSYSTEM, connection, general

_GETTABLE, _GETCHAIN, _GETRULE = 1, 4, 7
_GROUP = 7
"""NFNLGRP_NFTABLES."""


class Rule(NamedTuple):
    """A rule as the kernel lists it. ``mark`` is the comment that its maker left; ``drops_all``: nothing that comes to
    it gets any further."""

    handle: int
    mark: str
    drops_all: bool = False


class Chain(NamedTuple):
    """``hook`` and ``policy`` are None for a chain that only others jump to."""

    table: str
    name: str
    hook: int | None
    policy: int | None
    kind: str


def tables(family: int) -> list[str]:
    """Names of the tables of a family. Where the kernel has no nf_tables, there are none."""
    return [_text(found.get(1)) for found in _dump(_GETTABLE, family, b"", "tables")]


def chains(family: int) -> list[Chain]:
    """All chains of a family."""
    found = []
    for parts in _dump(_GETCHAIN, family, b"", "chains"):
        place = attributes(parts.get(4, b""))
        hook = struct.unpack(">I", place[1])[0] if 1 in place else None
        policy = struct.unpack(">I", parts[5])[0] if 5 in parts else None
        found.append(Chain(_text(parts.get(1)), _text(parts.get(3)), hook, policy, _text(parts.get(7))))
    return found


def rules(family: int, table: str, chain: str) -> list[Rule]:
    """The rules of a chain, in order; none where there is no such chain."""
    found = []
    for parts in _dump(_GETRULE, family, text(1, table) + text(2, chain), f"chain {chain}"):
        if _text(parts.get(1)) == table and _text(parts.get(2)) == chain:
            drops_all = _drops_all(parts.get(4, b""))
            found.append(Rule(struct.unpack(">Q", parts[3])[0], _mark(parts.get(7, b"")), drops_all))
    return found


class Watch:
    """Tells when somebody has changed nf_tables: this process as well as others."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETLINK_NETFILTER, groups=1 << _GROUP - 1)
        self._woken, self._waker = socket.socketpair()

    def wait(self, quiet_s: float) -> bool:
        """Return when something was changed and nothing more for ``quiet_s`` seconds; False when it is closed."""
        timeout_s: float | None = None
        while True:
            ready, _, _ = select.select([self._netlink, self._woken], [], [], timeout_s)
            if self._woken in ready:
                return False
            if not ready:
                return True
            self._netlink.discard()
            timeout_s = quiet_s

    def close(self) -> None:
        """Wake whoever waits. The descriptors go with the process, or with the object."""
        self._waker.close()


def _drops_all(expressions: bytes) -> bool:
    """Whether a rule has no condition and ends in a drop, or in a reject (also iptables' own)."""
    for _, raw in parse(expressions):
        parts = attributes(raw)
        name, data = _text(parts.get(1)), attributes(parts.get(2, b""))
        if name == "immediate":
            verdict = attributes(attributes(data.get(2, b"")).get(2, b""))
            return verdict.get(1) == struct.pack(">I", DROP)
        if name == "reject" or name == "target" and _text(data.get(1)) == "REJECT":
            return True
        if name not in ("counter", "log"):
            return False
    return False


def _mark(userdata: bytes) -> str:
    """The comment among the type-length-value triples of a rule's user data."""
    while len(userdata) >= 2:
        kind, length = userdata[0], userdata[1]
        if kind == 0:
            return _text(userdata[2 : 2 + length])
        userdata = userdata[2 + length :]
    return ""


def _dump(kind: int, family: int, payload: bytes, subject: str) -> list[dict[int, bytes]]:
    with connection() as netlink:
        try:
            answers = netlink.ask(SUBSYSTEM | kind, NLM_F_DUMP, general(family) + payload, subject)
        except FileNotFoundError:
            return []
        return [dict(parse(answer.payload[4:])) for answer in answers]


def _text(raw: bytes | None) -> str:
    return (raw or b"").rstrip(b"\0").decode(errors="replace")
