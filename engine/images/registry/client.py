"""The way into the registry client, for services: ``Registries`` for the daemon, ``Repository`` for an operation."""

from __future__ import annotations

from types import TracebackType
from typing import Sequence

from engine.domain.errors import NotSupported
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor, Platform
from engine.images.references import Reference
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.credentials import Credentials
from engine.images.registry.settings import RegistrySettings
from engine.images.registry.transfers import Document, Fetched, Listener, Pushed, Resolved, SearchResult, ignore


class Registries:
    """What the daemon knows of registries. Any thread may use it; it keeps no connection and no token."""

    def __init__(self, settings: RegistrySettings = RegistrySettings()) -> None:
        self.settings = settings

    def repository(
        self,
        reference: Reference,
        credentials: Credentials = Credentials(),
        cancellation: Cancellation | None = None,
    ) -> Repository:
        """The repository that a reference names, for one operation. Nothing is asked of the network yet."""
        raise NotSupported("the registry client is not in this version yet")

    def login(self, address: str, credentials: Credentials) -> str:
        """Ask a registry ("" and Docker's addresses of docker.io: that) whether it takes the credentials.

        Answers with an identity token where the registry gives one, else "". Raises Unauthorized, Unavailable.
        """
        raise NotSupported("the registry client is not in this version yet")

    def search(
        self,
        term: str,
        limit: int = 25,
        credentials: Credentials = Credentials(),
        cancellation: Cancellation | None = None,
    ) -> list[SearchResult]:
        """Ask the search index; ``HOST/TERM`` asks that host's. Raises InvalidArgument (limit), Unavailable."""
        raise NotSupported("the registry client is not in this version yet")


class Repository:
    """A repository during one operation; several threads may use it. As a context manager it ends its connections.

    Every method raises NotFound, Unauthorized, Forbidden, InvalidArgument (what came is not what it should be),
    NotSupported, Unavailable (not reached, or not in time), Cancelled; messages are worded as Docker's.
    """

    reference: Reference
    cancellation: Cancellation

    def resolve(self, platform: Platform | None = None, tag_or_digest: str = "") -> Resolved:
        """The manifest behind the reference (or behind another tag of the repository), and through an index the one
        for ``platform`` (None: this machine's). The endpoints are asked in turn, mirrors first."""
        raise NotSupported("the registry client is not in this version yet")

    def tags(self) -> list[str]:
        """All tags of the repository, sorted."""
        raise NotSupported("the registry client is not in this version yet")

    def fetch(self, blob: Descriptor, store: ContentStore, listener: Listener = ignore) -> Fetched:
        """Bring a blob into the store: verified while it streams, continued where an earlier attempt ended, and not
        visible before it is whole and synced. Downloads is what calls it, so that a blob is fetched once."""
        raise NotSupported("the registry client is not in this version yet")

    def push_blob(
        self, blob: Descriptor, store: ContentStore, listener: Listener = ignore, mount_from: Sequence[str] = ()
    ) -> Pushed:
        """Have the repository hold a blob: by finding it there, by mounting it from another repository of the same
        registry (paths, as ``team/base``; tried in order), or by uploading it, continued after interruptions."""
        raise NotSupported("the registry client is not in this version yet")

    def put_manifest(self, document: Document, tag_or_digest: str = "") -> str:
        """Store a manifest or an index under the reference's tag (or the one given), byte for byte; blobs first.

        Answers with its digest. Raises InvalidArgument where the registry says it has stored something else.
        """
        raise NotSupported("the registry client is not in this version yet")

    def close(self) -> None:
        """End its connections."""

    def __enter__(self) -> Repository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
