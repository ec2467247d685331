"""A registry in memory behind the interface of engine.images.registry: no network, no threads of its own."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any, Callable, Sequence

from engine.domain.errors import InvalidArgument, NotFound
from engine.images import manifests
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor, Platform
from engine.images.platforms import best
from engine.images.references import Reference
from engine.images.registry.cancellation import Cancellation
from engine.images.registry.credentials import Credentials
from engine.images.registry.settings import RegistrySettings
from engine.images.registry.transfers import (
    Document, Fetched, Listener, Progress, Pushed, Resolved, SearchResult, ignore,
)  # fmt: skip

SOURCE = "https://registry.example"
AMD64 = Platform("linux", "amd64")


def digest_of(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


class FakeRegistry:
    """What the registry holds, and how often each blob was asked for. ``before_fetch`` is called for every blob."""

    def __init__(self) -> None:
        self.settings = RegistrySettings()
        self.blobs: dict[str, bytes] = {}
        self.documents: dict[str, dict[str, Document]] = {}
        self.holds: dict[str, set[str]] = {}
        self.fetches: list[str] = []
        self.mounts: list[tuple[str, str]] = []
        self.before_fetch: Callable[[Descriptor, Cancellation], None] = lambda blob, cancellation: None
        self.before_push: Callable[[Descriptor], None] = lambda blob: None

    # --- filling it ---

    def add(
        self, name: str, layers: Sequence[bytes], *, compressed: Sequence[bytes] | None = None, **config: Any
    ) -> str:
        """Put an image under a name (``team/app:1``). Answers with the manifest's digest."""
        path, _, tag = name.partition(":")
        diff_ids = [digest_of(layer) for layer in layers]
        body = json.dumps({
            "architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05Z", **config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }).encode()  # fmt: skip
        kinds = [(manifests.OCI_LAYER + ("+gzip" if compressed else ""), blob) for blob in compressed or layers]
        for blob in (body, *(blob for _, blob in kinds)):
            self.blobs[digest_of(blob)] = blob
            self.holds.setdefault(path, set()).add(digest_of(blob))
        manifest = manifests.make_manifest(
            (digest_of(body), len(body)), [(kind, digest_of(blob), len(blob)) for kind, blob in kinds]
        )
        return self._keep(path, tag or "latest", Document(manifests.OCI_MANIFEST, digest_of(manifest), manifest))

    def add_index(self, name: str, offered: dict[str, str]) -> str:
        """An index of manifests (platform to digest) that the repository has. Answers with its digest."""
        path, _, tag = name.partition(":")
        listed = []
        for platform, digest in offered.items():
            words = dict(zip(("os", "architecture", "variant"), platform.split("/")))
            size = len(self.documents[path][digest].body)
            listed.append({"mediaType": manifests.OCI_MANIFEST, "digest": digest, "size": size, "platform": words})
        body = json.dumps({"schemaVersion": 2, "mediaType": manifests.OCI_INDEX, "manifests": listed}).encode()
        return self._keep(path, tag or "latest", Document(manifests.OCI_INDEX, digest_of(body), body))

    def _keep(self, path: str, tag: str, document: Document) -> str:
        self.documents.setdefault(path, {}).update({tag: document, document.digest: document})
        return document.digest

    # --- the interface of Registries ---

    def repository(
        self, reference: Reference, credentials: Credentials = Credentials(), cancellation: Cancellation | None = None
    ) -> FakeRepository:
        return FakeRepository(self, reference, cancellation or Cancellation())

    def login(self, address: str, credentials: Credentials) -> str:
        return ""

    def search(self, term: str, limit: int = 25, *_: Any) -> list[SearchResult]:
        return [SearchResult(term, "", 1, False, False)]


class FakeRepository:
    def __init__(self, registry: FakeRegistry, reference: Reference, cancellation: Cancellation) -> None:
        self._registry = registry
        self.reference = reference
        self.cancellation = cancellation

    def resolve(self, platform: Platform | None = None, tag_or_digest: str = "", known: Any = None) -> Resolved:
        name = tag_or_digest or self.reference.digest or self.reference.tag or "latest"
        top = self._registry.documents.get(self.reference.path, {}).get(name)
        if top is None:
            raise NotFound(f"manifest for {self.reference.familiar} not found: manifest unknown: manifest unknown")
        document, chosen = top, None
        if top.media_type in manifests.INDEX_TYPES:
            found = best(manifests.parse_index(top.body, top.media_type), platform or AMD64)
            document, chosen = self._registry.documents[self.reference.path][found.digest], found.platform
        manifest = manifests.parse_manifest(document.body, document.media_type)
        return Resolved(top, document, manifest, chosen, SOURCE)

    def tags(self) -> list[str]:
        return sorted(name for name in self._registry.documents.get(self.reference.path, {}) if ":" not in name)

    def fetch(self, blob: Descriptor, store: ContentStore, listener: Listener = ignore) -> Fetched:
        self.cancellation.check()
        self._registry.before_fetch(blob, self.cancellation)
        self.cancellation.check()
        body = self._registry.blobs[blob.digest]
        self._registry.fetches.append(blob.digest)
        listener(Progress("downloading", len(body), blob.size_bytes))
        with store.writer() as writer:
            writer.write(body)
            writer.commit(blob.digest, blob.size_bytes)
        return Fetched(blob.digest, len(body), len(body), SOURCE)

    def push_blob(
        self, blob: Descriptor, store: ContentStore, listener: Listener = ignore, mount_from: Sequence[str] = ()
    ) -> Pushed:
        self.cancellation.check()
        self._registry.before_push(blob)
        held = self._registry.holds.setdefault(self.reference.path, set())
        if blob.digest in held:
            return Pushed(blob.digest, blob.size_bytes, "exists")
        for path in mount_from:
            if blob.digest in self._registry.holds.get(path, ()):
                held.add(blob.digest)
                self._registry.mounts.append((blob.digest, path))
                return Pushed(blob.digest, blob.size_bytes, "mounted", path)
        body = store.read(blob.digest)
        listener(Progress("uploading", len(body), len(body)))
        held.add(blob.digest)
        self._registry.blobs[blob.digest] = body
        return Pushed(blob.digest, blob.size_bytes, "uploaded")

    def put_manifest(self, document: Document, tag_or_digest: str = "") -> str:
        manifest = manifests.parse_manifest(document.body, document.media_type)
        held = self._registry.holds.get(self.reference.path, set())
        if not {manifest.config.digest, *(layer.digest for layer in manifest.layers)} <= held:
            raise InvalidArgument("manifest blob unknown")
        return self._registry._keep(self.reference.path, tag_or_digest or self.reference.tag, document)

    def close(self) -> None:
        pass

    def __enter__(self) -> FakeRepository:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class FakeDownloads:
    """Fetches in the thread that waits for the result, each blob once."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def start(self, repository: FakeRepository, blob: Descriptor, listener: Listener = ignore) -> FakeDownload:
        with self._lock:
            lock = self._locks.setdefault(blob.digest, threading.Lock())
        return FakeDownload(self._store, repository, blob, listener, lock)

    def close(self) -> None:
        pass


class FakeDownload:
    def __init__(self, store: ContentStore, repository: FakeRepository, blob: Descriptor, listener: Listener,
                 lock: threading.Lock) -> None:  # fmt: skip
        self.blob = blob
        self._store = store
        self._repository = repository
        self._listener = listener
        self._lock = lock

    def result(self, timeout_s: float | None = None) -> Fetched:
        with self._lock:
            if self._store.has(self.blob.digest):
                return Fetched(self.blob.digest, self.blob.size_bytes, 0, "")
            return self._repository.fetch(self.blob, self._store, self._listener)

    @property
    def done(self) -> bool:
        return self._store.has(self.blob.digest)

    def cancel(self) -> None:
        pass
