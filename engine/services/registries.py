"""What registries are asked without bringing or sending an image: a login, a search, what a reference means there."""

from __future__ import annotations

import threading
from typing import NamedTuple

from engine.images import manifests
from engine.images.manifests import Descriptor, Platform
from engine.images.references import Reference
from engine.images.registry.client import Registries as Client
from engine.images.registry.credentials import Credentials
from engine.images.registry.transfers import SearchResult
from engine.services.operations import Operation


class Distribution(NamedTuple):
    """What a reference means at its registry."""

    media_type: str
    digest: str
    size_bytes: int
    platforms: list[Platform]


class Registries:
    """Reads only; nothing of it is on record, for nothing here changes."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def login(self, address: str, credentials: Credentials) -> str:
        """An identity token or "". Raises Unauthorized, Unavailable."""
        return self._client.login(address, credentials)

    def search(
        self, term: str, limit: int, credentials: Credentials, departed: threading.Event
    ) -> list[SearchResult]:
        """Raises InvalidArgument (limit), Unavailable."""
        with Operation(departed) as operation:
            return self._client.search(term, limit, credentials, operation.cancellation)

    def inspect(self, reference: Reference, credentials: Credentials, departed: threading.Event) -> Distribution:
        """Raises what Repository.resolve raises."""
        with Operation(departed) as operation:
            with self._client.repository(reference, credentials, operation.cancellation) as repository:
                resolved = repository.resolve()
        platforms = [resolved.platform] if resolved.platform else []
        if resolved.index is not None:
            listed: list[Descriptor] = manifests.parse_index(resolved.top.body, resolved.top.media_type)
            platforms = [one.platform for one in listed if one.platform is not None]
        return Distribution(resolved.top.media_type, resolved.top.digest, len(resolved.top.body), platforms)
