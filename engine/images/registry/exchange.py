"""Asking until there is an answer: redirects, back-off, repetition.

``Exchanges`` belong to one registry. Credentials go to the place (scheme, host, port) that was asked and are left out
as soon as a redirect leads elsewhere. Where it may lead is said in ``addresses``; plain HTTP is spoken only with
loopback and with what the operator lists.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

from engine.domain.errors import Forbidden, InvalidArgument, NotSupported, Unavailable
from engine.images.registry.addresses import Place, Reach, shown, target_of
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.refusals import refusal, status_line
from engine.images.registry.settings import Patience
from engine.images.registry.transport import Answer, ConnectionFailed, NotThere, Transport

Notice = Callable[[str], None]
"""Called with the reason before something is tried again."""

RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_MOST_REDIRECTS = 10
_DOUBLINGS = 16
_SLOW = 10


def ignore_notice(_: str) -> None:
    """For those who don't tell anybody."""


class Retries:
    """How often something was tried. ``pause`` waits before the next attempt, or raises what ended the last one."""

    def __init__(self, patience: Patience, cancellation: Cancellation, notice: Notice = ignore_notice) -> None:
        self._patience = patience
        self._cancellation = cancellation
        self._notice = notice
        self._failed = 0

    def start_over(self) -> None:
        """After an attempt that got somewhere."""
        self._failed = 0

    def pause(self, error: Unavailable, wanted_s: float | None = None) -> None:
        """``wanted_s`` is what the registry asks for. Raises ``error`` where it is enough, Cancelled."""
        self._cancellation.check()
        self._failed += 1
        longest = self._patience.longest_wait_s
        if self._failed >= self._patience.attempts or (wanted_s or 0) > longest:
            raise error
        wait_s = min(longest, self._patience.backoff_s * 2 ** min(self._failed - 1, _DOUBLINGS))
        self._notice(str(error))
        self._cancellation.wait(max(wait_s, wanted_s or 0))


class Exchanges:
    """With one registry and where it leads."""

    def __init__(self, transport: Transport, patience: Patience) -> None:
        self.transport = transport
        self.patience = patience
        self._found: Reach | None = None
        self.answered = False

    @property
    def reach(self) -> Reach:
        """How far inside the registry was found to be: by the outermost of its connections, since its name may lead to
        several places at once."""
        return Reach.PUBLIC if self._found is None else self._found

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        cancellation: Cancellation,
        *,
        authorization: str = "",
        body: Any = None,
        home: Place | None = None,
        notice: Notice = ignore_notice,
        once: bool = False,
        slow: bool = False,
    ) -> Answer:
        """``home`` is the registry's own place, which is trusted; a callable ``body`` is called for each attempt; what
        can't be repeated is asked ``once``; an answer that takes its time is waited for longer (``slow``).

        Raises Unavailable, Forbidden, Cancelled; other statuses are answers."""
        retries = Retries(self.patience._replace(attempts=1) if once else self.patience, cancellation, notice)
        while True:
            try:
                sent = body() if callable(body) else body
                answer = self._follow(method, url, headers, authorization, sent, home, cancellation, slow)
            except ConnectionFailed as error:
                if isinstance(error, NotThere) and not self.answered:
                    raise  # a wrong name, rather than a bad moment
                retries.pause(error)
                continue
            if answer.status not in RETRIED:
                return answer
            wanted_s = answer.retry_after_s
            text = "" if answer.status == 429 else f"{method} {shown(url)}: {status_line(answer.status)}: "
            retries.pause(Unavailable(f"{text}{refusal(answer)}"), wanted_s)

    def _follow(
        self, method: str, url: str, headers: Mapping[str, str], authorization: str, body: Any, home: Place | None,
        cancellation: Cancellation, slow: bool,
    ) -> Answer:  # fmt: skip
        stall_timeout_s = self.patience.stall_timeout_s * (_SLOW if slow else 1)
        asked = Place.of(url)
        for _ in range(_MOST_REDIRECTS):
            place = Place.of(url)
            if place.scheme == "http" and not self.transport.insecure(place):
                raise Forbidden(f"refused to speak plain HTTP with {place.address}: list it in insecure-registries")
            known = {**headers, "Authorization": authorization} if authorization and place == asked else headers
            allowed = None if place == home else self.reach
            answer = self.transport.send(method, url, known, body, cancellation, allowed, stall_timeout_s)
            self.answered = True
            if place == home and (reach := answer.call.reach) is not None:
                self._found = reach if self._found is None else min(reach, self._found)
            if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                return answer
            if method not in ("GET", "HEAD"):
                answer.discard()
                raise NotSupported(f"{method} {shown(url)}: redirects of it are not followed")
            url = target_of(answer.headers["Location"], url)
            answer.discard()
        raise InvalidArgument(f"{shown(url)}: more than {_MOST_REDIRECTS} redirects")
