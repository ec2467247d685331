"""The content store: blobs kept as received, each in a file named by its digest.

``<root>/sha256/<hex>`` holds whole, synced blobs only; ``<root>/ingest/`` holds what is being written. A blob is
digested while it is written, synced, renamed into place, and its folder synced: after a power cut a name that exists
is whole. Safe for several processes at once: names are random until the digest is known, and a rename of the same
content over itself changes nothing.

A blob whose digest is known beforehand may come in parts, over days: ``ingest/partial-<hex>`` is kept between attempts,
locked by whoever writes it, and digested anew before it is continued.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol

from engine.domain.errors import Conflict, InvalidArgument, NotFound
from engine.kernel.paths import fsync_folder
from engine.kernel.steps import step

CHUNK_BYTES = 256 * 1024
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}")
_PARTIAL = "partial-"
PARTIAL_LIFE_S = 7 * 24 * 3600
"""How long a blob that came in part waits for its rest."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Blob(NamedTuple):
    digest: str
    size_bytes: int


def check_digest(digest: str) -> str:
    """The digest itself, which from here on is safe as a file name. Raises InvalidArgument."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidArgument(f"unsupported digest {digest[:100]!r}: sha256:<64 hexadecimal digits> is expected")
    return digest


class ContentStore:
    """Blobs by digest under ``root``. Folders are made at the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "sha256"
        self._ingest = root / "ingest"

    def path(self, digest: str) -> Path:
        """Where the blob lies, or would lie. Raises InvalidArgument for what is no SHA-256 digest."""
        return self._blobs / check_digest(digest).removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def open(self, digest: str) -> BinaryIO:
        """Raises NotFound."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise NotFound(f"content {digest!r} is not in the store") from error

    def open_coming(self, digest: str) -> BinaryIO:
        """What there is by now of a blob that comes in parts, unbuffered; nobody has verified it. Raises NotFound."""
        for path in (self._partial_path(digest), self.path(digest)):  # in this order: it is renamed in between
            try:
                return path.open("rb", buffering=0)
            except FileNotFoundError:
                continue
        raise NotFound(f"content {digest!r} is neither in the store nor on its way")

    def size_bytes(self, digest: str) -> int:
        """Raises NotFound."""
        with self.open(digest) as file:
            return os.fstat(file.fileno()).st_size

    def read(self, digest: str, limit_bytes: int = 64 * 1024 * 1024) -> bytes:
        """A small blob (a configuration, a manifest) whole. Raises NotFound, InvalidArgument above the limit."""
        with self.open(digest) as file:
            body = file.read(limit_bytes + 1)
        if len(body) > limit_bytes:
            raise InvalidArgument(f"content {digest!r} is larger than {limit_bytes} bytes")
        return body

    def ingest(self, stream: Readable, expected_digest: str = "", expected_bytes: int | None = None) -> Blob:
        """Store a whole stream. Raises InvalidArgument where digest or size differ from what is expected."""
        with self.writer() as writer:
            while chunk := stream.read(CHUNK_BYTES):
                if expected_bytes is not None and writer.size_bytes + len(chunk) > expected_bytes:
                    raise InvalidArgument(f"content is larger than the expected {expected_bytes} bytes")
                writer.write(chunk)
            return writer.commit(expected_digest, expected_bytes)

    def add(self, body: bytes) -> Blob:
        """Store bytes at hand."""
        with self.writer() as writer:
            writer.write(body)
            return writer.commit()

    def writer(self) -> BlobWriter:
        """A blob that is written piece by piece; gone unless committed."""
        for folder in (self._ingest, self._blobs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return BlobWriter(self, self._ingest / os.urandom(8).hex())

    def remove(self, digest: str) -> None:
        """Remove a blob; one that is not there is no error."""
        with step("content.remove"):
            self.path(digest).unlink(missing_ok=True)

    def digests(self) -> list[str]:
        """Of all whole blobs, in no order."""
        names = os.listdir(self._blobs) if self._blobs.is_dir() else []
        return [digest for name in names if _DIGEST.fullmatch(digest := f"sha256:{name}")]

    def partial(self, digest: str) -> PartialWriter:
        """The writer of a blob that comes in parts: it goes on where the last one ended. Raises Conflict where somebody
        writes it now."""
        for folder in (self._ingest, self._blobs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return PartialWriter(self, self._partial_path(digest))

    def _partial_path(self, digest: str) -> Path:
        return self._ingest / (_PARTIAL + check_digest(digest).removeprefix("sha256:"))

    def sweep(self, partial_life_s: float = PARTIAL_LIFE_S) -> int:
        """Remove what interrupted writers left; only while nobody writes. Blobs that came in part are kept for a while
        (0: none). Answers with the number of files."""
        found = list(self._ingest.iterdir()) if self._ingest.is_dir() else []
        leftovers = [path for path in found if not _may_go_on(path, partial_life_s)]
        for leftover in leftovers:
            leftover.unlink()
        return len(leftovers)


def _may_go_on(path: Path, life_s: float) -> bool:
    return path.name.startswith(_PARTIAL) and time.time() - path.stat().st_mtime < life_s


class BlobWriter:
    """One blob on its way into the store. As a context manager it leaves nothing behind that was not committed."""

    def __init__(self, store: ContentStore, path: Path) -> None:
        self._store = store
        self.path = path
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        with step("content.write"):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    @property
    def digest(self) -> str:
        """Of what was written so far."""
        return "sha256:" + self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self.size_bytes += len(data)
        with step("content.write"):
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]

    def read_back(self, limit_bytes: int) -> bytes:
        """What was written, for small documents. Raises InvalidArgument above the limit."""
        if self.size_bytes > limit_bytes:
            raise InvalidArgument(f"a document of {self.size_bytes} bytes is larger than {limit_bytes} bytes")
        with self.path.open("rb") as file:
            return file.read()

    def close(self) -> None:
        """Give the descriptor back; the file may still be committed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def commit(self, expected_digest: str = "", expected_bytes: int | None = None) -> Blob:
        """Sync and rename into place. Raises InvalidArgument where digest or size differ from what is expected."""
        if expected_bytes is not None and self.size_bytes != expected_bytes:
            raise InvalidArgument(f"content has {self.size_bytes} bytes where {expected_bytes} are expected")
        if expected_digest and self.digest != expected_digest:
            raise InvalidArgument(f"content has digest {self.digest} where {expected_digest} is expected")
        blob = Blob(self.digest, self.size_bytes)
        target = self._store.path(blob.digest)
        with step("content.rename"):
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            os.fsync(self._fd)
            self.close()
            os.rename(self.path, target)
            fsync_folder(str(target.parent))
        return blob

    def discard(self) -> None:
        """Remove what was not committed."""
        self.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()


class PartialWriter(BlobWriter):
    """A blob that may have been begun before. As a context manager it keeps what was not committed."""

    def __init__(self, store: ContentStore, path: Path) -> None:
        self._store = store
        self.path = path
        self._fd = self._locked(path)
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        buffer = memoryview(bytearray(CHUNK_BYTES))
        while count := os.readv(self._fd, [buffer]):
            self._hash.update(buffer[:count])
            self.size_bytes += count

    @staticmethod
    def _locked(path: Path) -> int:
        while True:
            with step("content.write"):
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.exists() and os.path.samestat(os.fstat(fd), path.stat()):
                    return fd
            except BlockingIOError as error:
                os.close(fd)
                raise Conflict(f"content sha256:{path.name.removeprefix(_PARTIAL)} is being written already") from error
            os.close(fd)  # between open and lock it was committed: what is locked is the blob itself

    def restart(self) -> None:
        """Forget what came so far."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
