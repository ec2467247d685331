"""Signals that reach the client while a container is in front of the user: passed on to the container.

Handlers run between any two steps of the program, so they use a client of their own. ``_signal`` is what the signal
module wraps; that one costs 5 ms to import.
"""

from __future__ import annotations

import _signal

from engine.client.api import Client, path_of
from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_KEPT = ("KILL", "STOP", "CHLD", "PIPE", "URG", "WINCH", "TTIN", "TTOU", "TSTP", "CONT")
"""Not passed on: those that can't be caught, that concern the client alone, or its terminal."""

_NAMES = {
    number: name
    for name in ("HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP "
                 "TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS").split()
    if (number := getattr(_signal, f"SIG{name}", None)) is not None
}  # fmt: skip
_FAULTS = ("ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "SYS")


class SignalProxy:
    """A context in which caught signals go to a container. Those that arrive before it runs go to it as it starts."""

    def __init__(self, client: Client, container: str, *, enabled: bool) -> None:
        self._client = client
        self._container = container
        self._enabled = enabled
        self._before: dict[int, Any] = {}
        self._running = False
        self._waiting: list[int] = []

    def __enter__(self) -> SignalProxy:
        if self._enabled:
            for number, name in _NAMES.items():
                if name not in _KEPT and name not in _FAULTS:
                    self._before[number] = _signal.signal(number, self._forward)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            _signal.signal(number, handler if handler is not None else _signal.SIG_DFL)

    def started(self) -> None:
        """The container runs: it gets what came meanwhile."""
        self._running = True
        while self._waiting:
            self._send(self._waiting.pop(0))

    def _forward(self, number: int, frame: object) -> None:
        if self._running:
            self._send(number)
        else:
            self._waiting.append(number)

    def _send(self, number: int) -> None:
        with Client(self._client.address, version=self._client.version) as client:
            try:
                client.call("POST", path_of("containers", self._container, "kill"), query={"signal": _NAMES[number]})
            except ClientError:
                return  # it has ended, or the engine has: the main flow finds out and says so


class Resizing:
    """A context in which the container's terminal follows the size of the user's (SIGWINCH)."""

    def __init__(self, resize: Callable[[], None]) -> None:
        self._resize = resize
        self._before: Any = None

    def __enter__(self) -> Resizing:
        self._before = _signal.signal(_signal.SIGWINCH, lambda number, frame: self._resize())
        return self

    def __exit__(self, *exception: object) -> None:
        _signal.signal(_signal.SIGWINCH, self._before if self._before is not None else _signal.SIG_DFL)
