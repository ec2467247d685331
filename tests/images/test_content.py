"""The content store: whole blobs under their digest, or nothing."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.sources import REPOSITORY

from engine.domain.errors import InvalidArgument, NotFound
from engine.images.content import Blob, ContentStore


@pytest.fixture
def content(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "content")


def digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def files(content: ContentStore) -> list[str]:
    return sorted(str(path.relative_to(content.root)) for path in content.root.rglob("*") if path.is_file())


def test_ingest_and_read(content: ContentStore) -> None:
    body = os.urandom(700_000)
    assert content.ingest(io.BytesIO(body)) == Blob(digest(body), len(body))
    assert content.has(digest(body)) and content.read(digest(body)) == body
    with content.open(digest(body)) as file:
        assert file.read() == body
    assert files(content) == [f"sha256/{digest(body)[7:]}"]
    assert content.path(digest(body)).stat().st_mode & 0o777 == 0o600


def test_the_same_twice(content: ContentStore) -> None:
    assert content.add(b"text") == content.add(b"text")
    assert len(files(content)) == 1


def test_expected_digest_and_size(content: ContentStore) -> None:
    assert content.ingest(io.BytesIO(b"text"), digest(b"text"), 4).size_bytes == 4
    content.remove(digest(b"text"))
    for expected_digest, expected_bytes in ((digest(b"other"), None), (digest(b"text"), 3), (digest(b"text"), 5)):
        with pytest.raises(InvalidArgument, match="expected"):
            content.ingest(io.BytesIO(b"text"), expected_digest, expected_bytes)
        assert files(content) == []


def test_an_endless_stream_ends_at_the_expected_size(content: ContentStore) -> None:
    class Endless:
        taken = 0

        def read(self, size: int) -> bytes:
            self.taken += size
            return bytes(size)

    stream = Endless()
    with pytest.raises(InvalidArgument, match="larger than the expected 1000000 bytes"):
        content.ingest(stream, "", 1_000_000)
    assert stream.taken < 2_000_000 and files(content) == []


def test_a_stream_that_breaks_leaves_nothing(content: ContentStore) -> None:
    class Broken:
        def __init__(self) -> None:
            self.pieces = [b"text"]

        def read(self, size: int) -> bytes:
            if self.pieces:
                return self.pieces.pop()
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        content.ingest(Broken())
    assert files(content) == []


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:../../etc/passwd", "sha256:" + "0" * 63, "sha256:" + "A" * 64, "md5:" + "0" * 32,
             "sha256:" + "0" * 64 + "\n", "sha512:" + "0" * 128, "0" * 64]
)  # fmt: skip
def test_what_is_no_digest_is_no_path(content: ContentStore, text: str) -> None:
    with pytest.raises(InvalidArgument, match="unsupported digest"):
        content.path(text)


def test_missing_and_removed(content: ContentStore) -> None:
    missing = digest(b"missing")
    with pytest.raises(NotFound):
        content.open(missing)
    with pytest.raises(NotFound):
        content.read(missing)
    content.remove(missing)
    blob = content.add(b"text")
    content.remove(blob.digest)
    assert not content.has(blob.digest)


def test_read_is_bounded(content: ContentStore) -> None:
    blob = content.add(bytes(1001))
    assert len(content.read(blob.digest, 1001)) == 1001
    with pytest.raises(InvalidArgument, match="larger than 1000 bytes"):
        content.read(blob.digest, 1000)


def test_sweep(content: ContentStore) -> None:
    assert content.sweep() == 0, "a store that does not exist yet"
    kept = content.add(b"kept")
    writer = content.writer()
    writer.write(b"half")
    writer.close()
    assert content.sweep() == 1
    assert files(content) == [f"sha256/{kept.digest[7:]}"]


def test_writers_at_once(content: ContentStore) -> None:
    """The same and other blobs, by several threads: every one is whole, nothing is left over."""
    bodies = [bytes([number]) * 300_000 for number in range(4)]
    threads = [threading.Thread(target=content.add, args=(bodies[number % 4],)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files(content) == sorted(f"sha256/{digest(body)[7:]}" for body in bodies)
    assert all(content.read(digest(body)) == body for body in bodies)


INGEST = """
import io, sys
from pathlib import Path
from engine.images.content import ContentStore
try:
    ContentStore(Path(sys.argv[1])).ingest(io.BytesIO(b"text" * 200_000))
except OSError as error:
    sys.exit(f"{error.step}: {error.strerror}")
"""


def ingest_with(content: ContentStore, failpoints: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DOCKET_FAILPOINTS": failpoints, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", INGEST, str(content.root)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("step", ["content.write", "content.rename"])
def test_killed_while_writing(content: ContentStore, step: str) -> None:
    assert ingest_with(content, f"{step}=kill").returncode == -9
    assert not any(name.startswith("sha256/") for name in files(content))
    content.sweep()
    assert files(content) == []
    assert ingest_with(content, "").returncode == 0
    assert files(content) == [f"sha256/{digest(b'text' * 200_000)[7:]}"]


@pytest.mark.parametrize("step", ["content.write", "content.rename"])
def test_a_full_disk(content: ContentStore, step: str) -> None:
    done = ingest_with(content, f"{step}=error(ENOSPC)")
    assert done.stderr.strip() == f"{step}: No space left on device"
    assert files(content) == []
