"""An archive of images on its way into the content store: every file digested and set aside in one pass.

Which files are layers and configurations is known only when the whole archive has been read (its manifest may come
last, and it may come through a pipe), so each is written to the store's ingest folder, and then kept or discarded.
"""

from __future__ import annotations

import posixpath
import re
from types import TracebackType

from engine.domain.errors import InvalidArgument
from engine.images import tar
from engine.images.compression import format_of
from engine.images.content import Blob, BlobWriter, ContentStore
from engine.images.documents import DOCUMENT_LIMIT_BYTES
from engine.images.limits import Limits
from engine.images.tar import Entry, Stream
from engine.images.tar_fields import shown

_FILE_LIMIT = 100_000
"""Files in an archive: 500 images of 60 layers."""
_LINK_LIMIT = 40
_DIGEST_IN_NAME = re.compile(r"(?:blobs/sha256/([a-f0-9]{64})|([a-f0-9]{64})\.json)")


class Staging:
    """The files of an archive by name. As a context manager it leaves nothing behind that was not kept."""

    def __init__(self, store: ContentStore) -> None:
        self._store = store
        self._files: dict[str, BlobWriter] = {}
        self._links: dict[str, str] = {}
        self._kept: dict[str, BlobWriter] = {}

    def read(self, stream: Stream, limits: Limits) -> None:
        """Take every file in. A later file replaces an earlier one of its name. Raises InvalidArgument."""
        for entry in tar.entries(stream, limits._replace(entries=min(limits.entries, _FILE_LIMIT))):
            name = _name(entry, entry.name)
            if entry.kind == tar.REGULAR and entry.fragments is None:
                self._take(stream, name, entry.stored_bytes)
            elif entry.kind == tar.SYMLINK:
                self._links[name] = _name(entry, posixpath.join(posixpath.dirname(name).encode(), entry.link))
            elif entry.kind == tar.HARD_LINK:
                self._links[name] = _name(entry, entry.link)
            elif entry.kind != tar.FOLDER:
                raise InvalidArgument(f'archive entry "{shown(entry.name)}" is no file, folder or link')
        stream.drain()

    def _take(self, stream: Stream, name: str, size: int) -> None:
        self._links.pop(name, None)
        if (replaced := self._files.pop(name, None)) is not None:
            replaced.discard()
        writer = self._files[name] = self._store.writer()
        for part in stream.parts(size):
            writer.write(part)
        writer.close()

    def has(self, name: str) -> bool:
        return name in self._files or name in self._links

    def document(self, name: str) -> bytes:
        """A small file whole. Raises InvalidArgument where there is none, or it is large."""
        return self._find(name).read_back(DOCUMENT_LIMIT_BYTES)

    def compression(self, name: str) -> str:
        """How a file is compressed ("": not)."""
        with self._find(name).path.open("rb") as file:
            return format_of(file.read(6))

    def blob(self, name: str) -> Blob:
        """Digest and size of a file. Raises InvalidArgument where its name promises another digest."""
        writer = self._find(name)
        promised = _DIGEST_IN_NAME.fullmatch(name)
        if promised and writer.digest != f"sha256:{promised[1] or promised[2]}":
            raise InvalidArgument(f'archive entry "{shown(name.encode())}" has the digest {writer.digest}')
        return Blob(writer.digest, writer.size_bytes)

    def keep(self, *names: str) -> None:
        """Note that these files are to be kept."""
        for name in names:
            self._kept[self.blob(name).digest] = self._find(name)

    def commit(self) -> None:
        """Put what is to be kept into the store; once, when everything has been checked. Raises OSError."""
        for writer in self._kept.values():
            writer.commit()

    def _find(self, name: str) -> BlobWriter:
        resolved = posixpath.normpath(name)
        for _ in range(_LINK_LIMIT):
            if (writer := self._files.get(resolved)) is not None:
                return writer
            if resolved not in self._links:
                break
            resolved = self._links[resolved]
        raise InvalidArgument(f'archive has no file "{shown(name.encode())}"')

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for writer in self._files.values():
            writer.discard()


def _name(entry: Entry, name: bytes) -> str:
    """A path inside the archive. Raises InvalidArgument where it leads out of it."""
    path = posixpath.normpath(name.decode("utf-8", "surrogateescape"))
    if path.startswith("/") or path == ".." or path.startswith("../") or not name:
        raise InvalidArgument(f'archive entry "{shown(entry.name)}" leads out of the archive')
    return path
