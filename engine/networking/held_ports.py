"""Ports of the host that are held for a container by sockets that nobody else can bind beside.

The kernel translates what comes to them before a socket sees it. The sockets say to everybody else that the port is
taken, and serve what can't be translated (see the shim's proxy). They live as long as the container's shim, or until
the container is on no network that leads out.
"""

from __future__ import annotations

import errno
import os
import socket
from ipaddress import ip_address
from typing import Iterable

from engine.domain.errors import Conflict

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}
_ATTEMPTS = 64


def hold(protocol: str, address: str, port: int) -> socket.socket:
    """A bound socket; ``port`` 0: any free one. Raises Conflict with the holder's name, OSError."""
    family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
    number = socket.IPPROTO_SCTP if protocol == "sctp" else 0
    sock = socket.socket(family, _KINDS[protocol] | socket.SOCK_CLOEXEC, number)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":  # closed connections of an earlier container must not keep it; a socket must
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            where, holder = f"{_place(address, port)}/{protocol}", _by(protocol, port)
            raise Conflict(f"failed to bind host port {where}: address already in use{holder}") from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise Conflict(
                f"failed to bind host port {_place(address, port)}/{protocol}: this host has no address {address}"
            ) from error
        raise OSError(error.errno, error.strerror, f"host port {_place(address, port)}/{protocol}") from error
    return sock


def hold_on_all(protocol: str, addresses: list[str], ports: Iterable[int]) -> list[socket.socket]:
    """The same port on several addresses: the first of ``ports`` that is free on all. Raises Conflict, OSError."""
    last: Conflict | None = None
    for port in ports:
        held: list[socket.socket] = []
        try:
            for address in addresses:
                held.append(hold(protocol, address, held[0].getsockname()[1] if held else port))
            return held
        except Conflict as error:
            last = error
            _close(held)
        except BaseException:
            _close(held)
            raise
    raise last or Conflict("no port was asked for")


def any_port() -> Iterable[int]:
    """For ``hold_on_all``: ask the kernel, several times where one address is free and another one isn't."""
    return (0 for _ in range(_ATTEMPTS))


def has_ipv6() -> bool:
    """Whether the host's IPv6 loopback is there to be bound."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def _close(held: list[socket.socket]) -> None:
    for sock in held:
        sock.close()


def _place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _by(protocol: str, port: int) -> str:
    """" by nginx (pid 42)", as far as /proc tells. What this process itself holds is for a container in the making."""
    inodes = _inodes(protocol, port)
    for pid in filter(str.isdigit, os.listdir("/proc") if inodes else ()):
        try:
            links = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
            if any(f"socket:[{inode}]" in links for inode in inodes):
                if int(pid) == os.getpid():
                    return " by another container that is being started"
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                    return f" by {file.read().strip()} (pid {pid})"
        except OSError:
            continue  # it ended meanwhile
    return ""


def _inodes(protocol: str, port: int) -> set[str]:
    """Of the sockets that are bound to a port (proc_net_tcp: local address, state, inode)."""
    found = set()
    for name in (protocol, f"{protocol}6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as file:
                lines = file.read().splitlines()[1:]
        except FileNotFoundError:
            continue
        for fields in map(str.split, lines):
            if int(fields[1].rpartition(":")[2], 16) == port and (protocol == "udp" or fields[3] == "0A"):
                found.add(fields[9])
    return found
