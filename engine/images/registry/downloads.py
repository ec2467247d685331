"""The threads that fetch blobs: so many at once for the whole daemon, and each blob once, whoever wants it."""

from __future__ import annotations

from engine.domain.errors import NotSupported
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor
from engine.images.registry.client import Repository
from engine.images.registry.transfers import Fetched, Listener, ignore


class Download:
    """What somebody waits for. Others may wait for the same blob."""

    blob: Descriptor

    def result(self, timeout_s: float | None = None) -> Fetched:
        """Wait until the blob is in the store. Raises what Repository.fetch raises, TimeoutError."""
        raise NotSupported("the registry client is not in this version yet")

    @property
    def done(self) -> bool:
        """Whether ``result`` would answer or raise at once."""
        raise NotSupported("the registry client is not in this version yet")

    def cancel(self) -> None:
        """Wait no longer. The fetch itself ends when nobody is left who waits for it; what came so far is kept."""


class Downloads:
    """One for the daemon. Blobs that the store has are answered at once, without the network."""

    def __init__(self, store: ContentStore, at_once: int = 3) -> None:
        self._store = store
        self._at_once = at_once

    def start(self, repository: Repository, blob: Descriptor, listener: Listener = ignore) -> Download:
        """Queue a blob; it is fetched in the order of the calls. Where it is being fetched for somebody else, join
        them: should their operation be cancelled or refused, it goes on by way of this ``repository``."""
        raise NotSupported("the registry client is not in this version yet")

    def close(self) -> None:
        """Cancel everything and end the threads."""
