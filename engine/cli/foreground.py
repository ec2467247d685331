"""A container in front of the user: its streams, its terminal, its signals. For run, start -a and attach."""

from __future__ import annotations

import time

from engine.cli.output import err
from engine.cli.signals import Resizing, SignalProxy
from engine.cli.streams import Streams
from engine.client.api import Client, path_of
from engine.client.connection import Response
from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence


_RESIZE_PAUSE_S = 0.01


class Foreground:
    """``tty``: the container has a terminal; ``stdin``: what is typed goes to it."""

    def __init__(self, client: Client, container: str, *, tty: bool, stdin: bool, detach_keys: str) -> None:
        self._client = client
        self._container = container
        self._tty = tty
        self._stdin = stdin
        self._keys_text = detach_keys

    def signals(self, *, enabled: bool) -> SignalProxy:
        return SignalProxy(self._client, self._container, enabled=enabled)

    def attach(self, streams: Sequence[str]) -> Response:
        """The hijacked connection of the named streams."""
        query = {"stream": True, **dict.fromkeys(streams, True), "detachKeys": self._keys_text or None}
        return self._client.hijack(path_of("containers", self._container, "attach"), query=query)

    def carry(self, response: Response) -> bool:
        """Carry the streams to their end. False if the user detached. The terminal is as before afterwards."""
        if not self._tty:
            return Streams(response, framed=True, stdin=self._stdin).carry()
        from engine.cli.terminal import DetachKeys, RawMode, parse_detach_keys

        keys = DetachKeys(parse_detach_keys(self._keys_text)) if self._stdin else None
        with RawMode() if self._stdin else Nothing(), Resizing(self.resize):
            self.resize()
            ended = Streams(response, framed=False, stdin=self._stdin, detach=keys).carry()
        if not ended:
            err("read escape sequence")
        return ended

    def resize(self) -> None:
        """Tell the container the size of our terminal."""
        resize_terminal(self._client, path_of("containers", self._container, "resize"))


class Nothing:
    """A context in which nothing is different."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        return None


def resize_terminal(client: Client, path: str, attempts: int = 1) -> None:
    """Send our terminal's size, on a connection of its own: a signal handler may be the caller.

    A process that is only just starting has no terminal yet, hence ``attempts`` (Docker's client makes five, too)."""
    from engine.cli.terminal import size

    if (now := size()) is None:
        return
    with Client(client.address, version=client.version) as own:
        for attempt in range(1, attempts + 1):
            try:
                own.call("POST", path, query={"h": now[0], "w": now[1]})
            except ClientError:  # or it has ended meanwhile
                time.sleep(_RESIZE_PAUSE_S * attempt if attempt < attempts else 0)
            else:
                return
