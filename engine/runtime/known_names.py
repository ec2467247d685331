"""What a container's resolver knows: the names of its networks, from files that the daemon replaces whole.

They are looked at for a change with every question, so that an answer is never older than the question (see
services.name_files for who writes them).
"""

from __future__ import annotations

import os
import socket

from engine.kernel import json_text
from engine.runtime import dns_message
from engine.runtime.dns_message import AAAA, ANY, IN, PLAIN_UDP_BYTES, PTR, A, Query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST_ANSWERS = 1024
"""Kept for the next time: to short questions, and of one address at most, which fit into any datagram."""


class _File:
    """One file, read again when another one lies in its place."""

    __slots__ = ("path", "value", "_seen")

    def __init__(self, path: str) -> None:
        self.path = path
        self.value: dict[str, Any] = {}
        self._seen: tuple[int, int] = (0, 0)

    def refresh(self) -> bool:
        """Whether it is another one now."""
        try:
            found = os.stat(self.path)
            if (found.st_ino, found.st_mtime_ns) == self._seen:
                return False
            with open(self.path, encoding="utf-8") as file:
                self.value = json_text.loads(file.read())
            self._seen = found.st_ino, found.st_mtime_ns
        except FileNotFoundError:
            if not self.value and self._seen == (0, 0):
                return False
            self.value, self._seen = {}, (0, 0)  # the network is gone
        except (OSError, ValueError):
            return False  # better what was so than nothing
        return True


class KnownNames:
    """``path`` is the container's own file, which names those of its networks. ``is_shut_in``: all of them are
    internal, and nobody else is asked; ``servers`` are asked otherwise."""

    def __init__(self, path: str) -> None:
        self._settings = _File(path)
        self._networks: list[_File] = []
        self._answers: dict[bytes, bytes] = {}
        self.is_shut_in = False
        self.servers: list[str] = []

    def refresh(self) -> None:
        """Look whether something has changed."""
        is_new = self._settings.refresh()
        if is_new:
            entries = self._settings.value.get("networks") or []
            self._networks = [_File(entry["file"]) for entry in entries]
            self.is_shut_in = bool(entries) and all(entry["internal"] for entry in entries)
            self.servers = self._settings.value.get("servers") or []
        for network in self._networks:
            is_new = network.refresh() or is_new
        if is_new:
            self._answers.clear()

    def again(self, message: bytes) -> bytes | None:
        """The answer to a question that was asked before, but for its number, where it would be the same."""
        if not self._answers:
            return None
        self.refresh()
        found = self._answers.get(message[2:])
        return message[:2] + found if found is not None else None

    def answer(self, query: Query, message: bytes) -> bytes | None:
        """The answer for a name or an address of the container's networks; None for all others."""
        if query.class_ not in (IN, ANY):
            return None
        if query.kind == PTR:
            return self._reverse(query)
        if not (addresses := self._addresses(query.name)):
            return None
        records = []
        for address in addresses:
            raw = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
            kind = A if len(raw) == 4 else AAAA
            if query.kind in (kind, ANY):
                records.append((kind, raw))
        if len(records) > 1:
            records.sort(key=lambda record: os.urandom(4))  # in any order
        answer = dns_message.answer(query, records)
        if len(records) <= 1 and len(message) <= PLAIN_UDP_BYTES and len(self._answers) < _MOST_ANSWERS:
            self._answers[message[2:]] = answer[2:]
        return answer

    def _addresses(self, name: str) -> list[str]:
        found: list[str] = []
        for network, entry in zip(self._networks, self._settings.value.get("networks") or ()):
            names, links = network.value.get("names") or {}, entry.get("links") or {}
            bare = name.removesuffix("." + network.value.get("network", "").lower())
            found += names.get(name) or names.get(bare) or names.get(links.get(bare)) or ()
        return found

    def _reverse(self, query: Query) -> bytes | None:
        address = _address_of(query.name)
        for network in self._networks if address else ():
            name = dns_message.encode_name((network.value.get("addresses") or {}).get(address) or "")
            if name is not None:
                return dns_message.answer(query, [(PTR, name)])
        return None


def _address_of(name: str) -> str:
    """The address that a reverse name (RFC 1035, 3.5; RFC 3596, 2.5) stands for; "" where it is none."""
    labels = name.split(".")
    if name.endswith(".in-addr.arpa"):
        family, text = socket.AF_INET, ".".join(reversed(labels[:-2]))
    elif name.endswith(".ip6.arpa") and len(labels) == 34:
        digits = "".join(reversed(labels[:-2]))
        family, text = socket.AF_INET6, ":".join(digits[start : start + 4] for start in range(0, 32, 4))
    else:
        return ""
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except (OSError, ValueError):
        return ""
