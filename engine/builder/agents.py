"""``RUN --mount=type=ssh``: what a step runs may ask an agent that is the client's.

    program -> socket of the step -> a connection that the client keeps ready -> client -> its agent

The client opens a connection for each of its agents before it asks for the build, joined to that by a word that nobody
else knows, and opens the next one as soon as one is taken: a byte on it says so. What goes over it then is the agents'
protocol, which passes through unread. Neither keys nor sockets of the client's come here.
"""

from __future__ import annotations

import select
import socket
import threading
from pathlib import Path
from typing import Callable

from engine.kernel import sockets

_TAKEN = b"\1"
_PIECE_BYTES = 65536
_POLL_S = 0.25


class _Offer:
    """A connection of a client's that waits for a program."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.program: socket.socket | None = None
        self.waiting, self._bell = socket.socketpair()

    def take(self, program: socket.socket) -> None:
        self.program = program
        self._bell.close()  # whoever waits goes on

    def close(self) -> None:
        for connection in (self.client, self.program, self.waiting, self._bell):
            if connection is not None:
                connection.close()


class Agents:
    """The connections that clients keep ready, by the word of their build and the agent's id. One for the engine."""

    def __init__(self) -> None:
        self._offers: dict[str, dict[str, list[_Offer]]] = {}
        self._changed = threading.Condition()

    def serve(self, word: str, agent: str, client: socket.socket, announce: Callable[[], None]) -> None:
        """Keep a connection ready, which ``announce`` tells the client, and carry what a program says over it: until
        one of the two or the build has ended."""
        offer = _Offer(client)
        try:
            with self._changed:
                self._offers.setdefault(word, {}).setdefault(agent, []).append(offer)
                self._changed.notify_all()
            announce()
            _first_of(client, offer.waiting)
            if offer.program is not None:
                _carry(client, offer.program)
        finally:
            self._withdraw(word, agent, offer)

    def _withdraw(self, word: str, agent: str, offer: _Offer) -> None:
        with self._changed:  # whoever takes or cuts an offer finds it under this lock: afterwards nobody does
            of_build = self._offers.get(word, {})
            if offer in (offers := of_build.get(agent, [])):
                offers.remove(offer)
            if not any(of_build.values()):
                self._offers.pop(word, None)
        offer.close()

    def has(self, word: str, agent: str) -> bool:
        with self._changed:
            return agent in self._offers.get(word, {})

    def give(self, word: str, agent: str, program: socket.socket) -> bool:
        """Join a program to the next connection that is free. False where there has been none for a moment."""

        def free() -> _Offer | None:
            return next((one for one in self._offers.get(word, {}).get(agent, ()) if one.program is None), None)

        with self._changed:
            offer = self._changed.wait_for(free, _POLL_S)
            if offer is not None:
                offer.take(program)
            return offer is not None

    def forget(self, word: str) -> None:
        """The build is over."""
        with self._changed:
            for offers in self._offers.pop(word, {}).values():
                for offer in offers:
                    _shut(offer.client)


class StepSocket:
    """What a step finds at $SSH_AUTH_SOCK: a socket in the run folder, for as long as the step lasts. A context
    manager. ``own`` makes it the step's user's before anything can connect."""

    def __init__(self, agents: Agents, word: str, agent: str, path: Path, own: Callable[[Path], None]) -> None:
        self._give = lambda program: agents.give(word, agent, program)
        self._path = path
        self._ended = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sockets.by_folder(str(path), self._listener.bind)
            own(path)
            self._listener.listen()
        except BaseException:
            self._listener.close()
            raise
        self._thread = threading.Thread(target=self._accept, name="build-agent", daemon=True)

    def __enter__(self) -> StepSocket:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        _shut(self._listener)  # wakes accept(2)
        self._thread.join()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                program, _ = self._listener.accept()
            except OSError:
                self._ended.wait(_POLL_S)  # there is no descriptor left for it now, unless the step has ended
                continue
            while not (given := self._give(program)) and not self._ended.is_set():
                continue
            if not given:
                program.close()


def _first_of(*sockets: socket.socket) -> list[int]:
    """Wait until there is something to be read of one of them, or its end."""
    poll = select.poll()
    for one in sockets:
        poll.register(one, select.POLLIN)
    return [fd for fd, _ in poll.poll()]


def _carry(client: socket.socket, program: socket.socket) -> None:
    """Until one of the two has ended or breaks off."""
    others = {client.fileno(): (client, program), program.fileno(): (program, client)}
    try:
        client.sendall(_TAKEN)
        while True:
            for fd in _first_of(client, program):
                source, target = others[fd]
                if not (piece := source.recv(_PIECE_BYTES)):
                    return
                target.sendall(piece)
    except OSError:
        return


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it has ended already
