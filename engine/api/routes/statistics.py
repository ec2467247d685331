"""GET /containers/{}/stats: one sample, or one a second."""

from __future__ import annotations

import threading
from typing import Any, Iterator

from engine.api.documents import encode
from engine.api.exchange import Answer, Request, Stream, reply
from engine.api.router import Route
from engine.api.views.statistics import statistics
from engine.domain.errors import InvalidArgument

_BETWEEN_S = 1.0


def stats(services: Any, request: Request) -> Answer:
    """With ``one-shot`` what is counted now; without ``stream`` two samples in one answer, a second apart."""
    ref = request.params[0]
    stream, one_shot = request.flag("stream", True), request.flag("one-shot")
    if stream and one_shot:
        raise InvalidArgument("cannot have stream=true and one-shot=true")
    first = services.statistics.once(ref)
    if one_shot or (not stream and not first.container.alive):
        return reply(statistics(first, None))
    if not stream:
        request.departed.wait(_BETWEEN_S)
        return reply(statistics(services.statistics.once(ref), first))
    return Stream(_lines(services, ref, request.departed))


def _lines(services: Any, ref: str, departed: threading.Event) -> Iterator[bytes]:
    before = None
    for sample in services.statistics.follow(ref, departed):
        yield encode(statistics(sample, before))
        before = sample


ROUTES: tuple[Route, ...] = (("GET", "/containers/{*}/stats", stats),)
