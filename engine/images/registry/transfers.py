"""What is said of content on its way: the documents that were resolved, the blobs that moved, and how far they are."""

from __future__ import annotations

from typing import Callable, NamedTuple

from engine.domain.errors import InvalidArgument
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor, Manifest, Platform


class Document(NamedTuple):
    """A manifest or an index with the bytes that came, which are the ones to keep and to push."""

    media_type: str
    digest: str
    body: bytes


class Resolved(NamedTuple):
    """What a reference names. ``top`` is what the registry gave for it (its digest is the one that ``Digest:`` shows
    and that repository digests are made of): an index or a list, or the manifest itself. ``document`` is the image's
    manifest, ``manifest`` the same parsed, ``platform`` the one that was chosen (None: there was no choice), ``source``
    the base URL of the endpoint that gave it."""

    top: Document
    document: Document
    manifest: Manifest
    platform: Platform | None
    source: str

    @property
    def index(self) -> Document | None:
        """The index or list, where there is one."""
        return None if self.top.digest == self.document.digest else self.top


class Progress(NamedTuple):
    """How far a blob is. ``action`` is "downloading", "uploading" or "retrying"; ``note`` says why."""

    action: str
    done_bytes: int
    total_bytes: int
    note: str = ""


Listener = Callable[[Progress], None]
"""Called from the thread that moves the blob, at most ten times a second and at the end; must not block."""


def ignore(_: Progress) -> None:
    """The listener of those who don't ask."""


class Fetched(NamedTuple):
    """A blob in the store. ``received_bytes`` came over the network now (0: the store had it; less than the size: the
    rest was left by an earlier attempt), ``source`` is the base URL of the endpoint that gave it ("": the store)."""

    digest: str
    size_bytes: int
    received_bytes: int
    source: str


def stored(blob: Descriptor, store: ContentStore) -> Fetched | None:
    """The answer for a blob that the store has. Raises InvalidArgument where its descriptor lies."""
    if not store.has(blob.digest):
        return None
    if (size := store.size_bytes(blob.digest)) != blob.size_bytes:
        raise InvalidArgument(f"blob {blob.digest} has {size} bytes where its descriptor says {blob.size_bytes}")
    return Fetched(blob.digest, size, 0, "")


class Pushed(NamedTuple):
    """A blob in a repository. ``how`` is "exists", "mounted" (``mounted_from`` another repository) or "uploaded"."""

    digest: str
    size_bytes: int
    how: str
    mounted_from: str = ""


class SearchResult(NamedTuple):
    name: str
    description: str
    stars: int
    official: bool
    automated: bool
