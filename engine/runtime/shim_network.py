"""The shim's part in its container's network: ports of the host that it holds, names that it answers, and the end of
the program that carries an ordinary user's."""

from __future__ import annotations

import os

import _signal as signal

from engine.runtime import resolver_sockets, user_network
from engine.runtime.loop import Loop
from engine.runtime.port_proxy import PortProxies
from engine.runtime.resolver import Resolver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence


class ShimNetwork:
    """``directory`` is the container's, ``sockets`` the folder of its shim's socket."""

    def __init__(self, loop: Loop, directory: str, sockets: str, container_id: str) -> None:
        self._loop = loop
        self._known_names = os.path.join(directory, "resolver.json")
        self._slirp_socket = user_network.slirp_socket(sockets, container_id)
        self._ports: list[PortProxies] = []
        self._resolver: Resolver | None = None
        self._helper = -1

    def hold(self, held: Sequence[int], listeners: Sequence[dict[str, Any]]) -> None:
        """See PortProxies. What is held already stays."""
        self._ports.append(PortProxies(self._loop, held, listeners))

    def release(self) -> None:
        """Let go of the host's ports."""
        for held in self._ports:
            held.close()
        self._ports.clear()

    def take_over(self, resolver_fds: list[int], helper_pid: int) -> None:
        """What the launcher has made: the sockets of a resolver, if there is one, and a child of ours, or -1."""
        self._helper = helper_pid
        if resolver_fds:
            self._resolver = Resolver(self._loop, resolver_fds, self._known_names)

    def serve_names(self, pid: int) -> None:
        """For a container, whose first process is ``pid``, that has come to a network with names. Raises OSError."""
        if self._resolver is None:
            with open(f"/proc/{pid}/ns/net", "rb") as namespace:
                fds = resolver_sockets.open_in(namespace.fileno())
            self._resolver = Resolver(self._loop, fds, self._known_names)

    def has_ended(self, pid: int) -> bool:
        """Whether the child that was reaped is the program."""
        if pid != self._helper:
            return False
        self._helper = -1
        return True

    def end_helper(self) -> None:
        """Our child, and not reaped yet."""
        if self._helper >= 0:
            os.kill(self._helper, signal.SIGKILL)
            if os.path.lexists(self._slirp_socket):
                os.unlink(self._slirp_socket)

    def close(self) -> None:
        """Nothing is held and answered any more."""
        self.release()
        if self._resolver is not None:
            self._resolver.close()
