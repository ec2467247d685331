"""The way into the registry client, for services: ``Registries`` for the daemon, ``Repository`` for an operation.

What speaks HTTP is imported by the first operation: a daemon that pulls nothing has neither its 15 MB nor its time.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Callable, Sequence, TypeVar

from engine.domain.errors import (
    EngineError,
    Forbidden,
    InvalidArgument,
    NotFound,
    NotSupported,
    Unauthorized,
    Unavailable,
)
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor, Platform
from engine.images.references import DEFAULT_DOMAIN, DEFAULT_TAG, Reference
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.credentials import Credentials
from engine.images.registry.settings import RegistrySettings
from engine.images.registry.transfers import (
    Document,
    Fetched,
    Listener,
    Pushed,
    Resolved,
    SearchResult,
    ignore,
    stored,
)

if TYPE_CHECKING:
    from engine.images.registry.endpoint import Endpoint
    from engine.images.registry.resolving import Known

T = TypeVar("T")
SEARCH_MOST = 100
_HUB = ("", DEFAULT_DOMAIN, "index.docker.io", "registry-1.docker.io")


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
        return Repository(self.settings, reference, credentials, cancellation or Cancellation())

    def login(self, address: str, credentials: Credentials) -> str:
        """Ask a registry ("" and Docker's addresses of docker.io: that) whether it takes the credentials.

        Answers with an identity token where the registry gives one, else "". Raises Unauthorized, Unavailable.
        """
        from engine.images.registry.endpoint import endpoints_of

        host = address.partition("://")[2] if "://" in address else address
        host = host.partition("/")[0]
        domain = DEFAULT_DOMAIN if host in _HUB else Reference.parse(f"{host}/login").domain
        (endpoint,) = endpoints_of(domain, self.settings, credentials, Cancellation(), upstream=True)
        try:
            return endpoint.login()
        finally:
            endpoint.close()

    def search(
        self,
        term: str,
        limit: int = 25,
        credentials: Credentials = Credentials(),
        cancellation: Cancellation | None = None,
    ) -> list[SearchResult]:
        """Ask the search index; ``HOST/TERM`` asks that host's. Raises InvalidArgument (limit), Unavailable."""
        from engine.images.registry.endpoint import Endpoint
        from engine.images.registry.listing import search

        if not 1 <= limit <= SEARCH_MOST:
            raise InvalidArgument(f"limit {limit} is outside the range of [1, {SEARCH_MOST}]")
        if "://" in term:
            raise InvalidArgument(f"invalid search term {term[:100]!r}: a word, or HOST/WORD, without a scheme")
        host, slash, rest = term.partition("/")
        named = slash and ("." in host or ":" in host or host == "localhost")
        if named and host not in _HUB:
            base, names, word = host, (host,), rest
        else:
            base, names, word = self.settings.search_index.rstrip("/"), (), rest if named else term
        endpoint = Endpoint(base, names, self.settings, credentials, cancellation or Cancellation())
        try:
            return search(endpoint, word.removeprefix("library/"), limit)
        finally:
            endpoint.close()


class Repository:
    """A repository during one operation; several threads may use it. As a context manager it ends its connections.

    Every method raises NotFound, Unauthorized, Forbidden, InvalidArgument (what came is not what it should be),
    NotSupported, Unavailable (not reached, or not in time), Cancelled; messages are worded as Docker's.
    """

    def __init__(
        self, settings: RegistrySettings, reference: Reference, credentials: Credentials, cancellation: Cancellation
    ) -> None:
        self.reference = reference
        self.cancellation = cancellation
        self._settings = settings
        self._credentials = credentials
        self._lock = threading.Lock()
        self._pulling: list[Endpoint] = []
        self._pushing: list[Endpoint] = []

    def resolve(
        self, platform: Platform | None = None, tag_or_digest: str = "", known: Known | None = None
    ) -> Resolved:
        """The manifest behind the reference (or behind another tag of the repository), and through an index the one
        for ``platform`` (None: this machine's). The endpoints are asked in turn, mirrors first; documents that are
        ``known`` (by their digests) don't come again."""
        from engine.images.registry.resolving import resolve

        name = tag_or_digest or self._name
        resolved = self._pull(lambda endpoint: resolve(endpoint, self.reference.path, name, platform, known), name)
        self._prefer(resolved.source)
        return resolved

    def tags(self) -> list[str]:
        """All tags of the repository, sorted."""
        from engine.images.registry.listing import tags

        return self._pull(lambda endpoint: tags(endpoint, self.reference.path), "")

    def fetch(
        self,
        blob: Descriptor,
        store: ContentStore,
        listener: Listener = ignore,
        cancellation: Cancellation | None = None,
    ) -> Fetched:
        """Bring a blob into the store: verified while it streams, continued where an earlier attempt ended, and not
        visible before it is whole and synced. Downloads is what calls it, so that a blob is fetched once;
        ``cancellation`` ends this blob alone."""
        from engine.images.registry.fetching import fetch

        if (found := stored(blob, store)) is not None:
            return found
        ends = cancellation or self.cancellation
        return self._pull(lambda endpoint: fetch(endpoint, self.reference.path, blob, store, listener, ends), "")

    def push_blob(
        self, blob: Descriptor, store: ContentStore, listener: Listener = ignore, mount_from: Sequence[str] = ()
    ) -> Pushed:
        """Have the repository hold a blob: by finding it there, by mounting it from another repository of the same
        registry (paths, as ``team/base``; tried in order), or by uploading it, continued after interruptions."""
        from engine.images.registry.pushing import push_blob

        endpoint, path = self._upstream(), self.reference.path
        return push_blob(endpoint, path, blob, store, listener, mount_from, self.cancellation)

    def put_manifest(self, document: Document, tag_or_digest: str = "") -> str:
        """Store a manifest or an index under the reference's tag (or the one given), byte for byte; blobs first.

        Answers with its digest. Raises InvalidArgument where the registry says it has stored something else.
        """
        from engine.images.registry.pushing import put_manifest

        name = tag_or_digest or self.reference.tag or self.reference.digest or DEFAULT_TAG
        return put_manifest(self._upstream(), self.reference.path, document, name)

    def close(self) -> None:
        """End its connections."""
        for endpoint in (*self._pulling, *self._pushing):
            endpoint.close()

    def __enter__(self) -> Repository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- the endpoints ---

    @property
    def _name(self) -> str:
        return self.reference.digest or self.reference.tag or DEFAULT_TAG

    def _upstream(self) -> Endpoint:
        from engine.images.registry.endpoint import endpoints_of

        with self._lock:
            if not self._pushing:
                self._pushing = endpoints_of(
                    self.reference.domain, self._settings, self._credentials, self.cancellation, upstream=True
                )
            return self._pushing[0]

    def _endpoints(self) -> list[Endpoint]:
        from engine.images.registry.endpoint import endpoints_of

        with self._lock:
            if not self._pulling:
                self._pulling = endpoints_of(
                    self.reference.domain, self._settings, self._credentials, self.cancellation
                )
            return self._pulling

    def _prefer(self, source: str) -> None:
        """Blobs are asked for where the manifest was, before anywhere else."""
        with self._lock:
            self._pulling = sorted(self._pulling, key=lambda endpoint: endpoint.source != source)

    def _pull(self, ask: Callable[[Endpoint], T], name: str) -> T:
        """From the first endpoint that can answer; the registry's own word is the one that counts in the end."""
        final: EngineError | None = None
        for endpoint in self._endpoints():
            try:
                return ask(endpoint)
            except (NotFound, Unauthorized, Forbidden, InvalidArgument, NotSupported, Unavailable) as error:
                final = error if endpoint.upstream or final is None else final
        assert final is not None
        raise self._worded(final, name) from final

    def _worded(self, error: EngineError, name: str) -> EngineError:
        """As Docker words what a registry refuses."""
        text, repository = str(error), self.reference.familiar_name
        if isinstance(error, (Unauthorized, Forbidden)) and not text.startswith("refused") or "name unknown" in text:
            return type(error)(
                f"pull access denied for {repository}, repository does not exist or may require 'docket login': {text}"
            )
        if isinstance(error, NotFound) and name and "no matching manifest" not in text:
            separator = "@" if ":" in name else ":"
            return NotFound(f"manifest for {repository}{separator}{name} not found: {text}")
        return error
