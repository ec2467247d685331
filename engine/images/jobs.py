"""What worker processes do for images: seconds of work that would hold the daemon's interpreter.

A job takes a dictionary and descriptors, and answers with a dictionary; both are JSON. It needs no database and starts
from nothing but its arguments. Errors are EngineError (the archive's fault) and OSError (the machine's).
"""

from __future__ import annotations

import os
import threading
import zlib
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator, Sequence

from engine.domain.errors import Conflict, InvalidArgument
from engine.images.archives import read_archive
from engine.images.compression import Uncompressed
from engine.images.content import ContentStore, Readable
from engine.images.growing import Growing
from engine.images.layer_writer import Rules, Written, write_layer
from engine.images.limits import Limits
from engine.images.saving import write_archive
from engine.images.tar import BLOCK, Stream
from engine.images.trees import remove_tree, tree_size_bytes
from engine.kernel.paths import fsync_folder, syncfs
from engine.kernel.steps import step

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]

_GZIP_LEVEL = 4
"""A tenth larger than at zlib's default level, in half the time."""
_GZIP_WINDOW = 31  # with gzip's header, whose time is then zero
_SYNC_BYTES = 32 << 20
_SYNC_PERIOD_S = 0.05


def unpack_layer(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Unpack ``blob`` into the folder ``target``: digested, synced and renamed into place, or not there at all.

    With two descriptors the blob is still being fetched (``Growing``), and its own digest is for the daemon to check.
    ``diff_id`` is what the uncompressed bytes must have ("" or null: not known). ``limits`` may narrow or widen the
    bounds of ``Limits``. With ``deferred`` the tree is neither synced nor renamed: it lies in ``temporary``, and
    ``layers.place`` does both. Answers ``{"diff_id", "size_bytes", "entries", "warnings", "temporary"}``. Raises
    InvalidArgument for a bad archive, Conflict where the target exists, OSError.
    """
    target = Path(arguments["target"])
    limits = Limits.from_json(arguments.get("limits"))
    temporary = target.parent / f"tmp-{os.urandom(8).hex()}"
    expected = arguments.get("diff_id")
    try:
        with _opened(arguments["blob"], fds) as blob, step("layer.unpack"):
            source = Growing(blob, fds[1]) if len(fds) > 1 else blob
            diff_id, written = unpack_into(source, temporary, limits, early=True, is_known=bool(expected))
        if expected and diff_id != expected:
            raise InvalidArgument(f"layer has diff ID {diff_id} where {expected} is expected")
        if not arguments.get("deferred"):
            _put_in_place([(temporary, target)])
    except BaseException:
        remove_tree(str(temporary))
        raise
    return {
        "diff_id": diff_id, "size_bytes": written.size_bytes, "entries": written.entries,
        "warnings": written.warnings, "temporary": str(temporary),
    }  # fmt: skip


def unpack_into(
    blob: Readable, temporary: Path, limits: Limits, rules: Rules = Rules(), *, early: bool = False,
    is_known: bool = False,
) -> tuple[str, Written]:  # fmt: skip
    """Unpack into a new folder, not synced, but for what was written ``early``. Answers with the diff ID, which the
    caller compares where it ``is_known``, and what was written."""
    temporary.mkdir(mode=0o755)
    temporary.chmod(0o755)  # whatever the umask is: it becomes a container's root
    root_fd = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with (
            Uncompressed(blob, limits, is_known=is_known) as pieces,
            _synced_early(root_fd, pieces) if early else nullcontext(),
        ):
            written = write_layer(Stream(pieces), root_fd, limits, rules)
            return pieces.digest, written
    finally:
        os.close(root_fd)


@contextmanager
def _synced_early(root_fd: int, pieces: Uncompressed) -> Iterator[None]:
    """Have the disk write what there is by now, again and again, so that the sync at the end has little to do. Raises
    OSError where that failed: whoever syncs next is not told."""
    over = threading.Event()
    failed: list[OSError] = []

    def sync() -> None:
        synced_bytes = 0
        while not failed and not over.wait(_SYNC_PERIOD_S):
            if pieces.size_bytes - synced_bytes >= _SYNC_BYTES:
                synced_bytes = pieces.size_bytes
                try:
                    syncfs(root_fd)
                except OSError as error:
                    failed.append(error)

    thread = threading.Thread(target=sync, name="sync", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]


def place_layers(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Sync the file system once, and rename each of ``layers`` (pairs of temporary folder and target) into its place.

    Answers ``{}``. Raises Conflict where a target exists, OSError; then some may be in place and others not.
    """
    _put_in_place([(Path(temporary), Path(target)) for temporary, target in arguments["layers"]])
    return {}


def _put_in_place(trees: Sequence[tuple[Path, Path]]) -> None:
    """All of them lie in one folder."""
    with step("layer.sync"):
        fd = os.open(trees[0][0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syncfs(fd)
        finally:
            os.close(fd)
    with step("layer.rename"):
        for temporary, target in trees:
            _rename(temporary, target)
        fsync_folder(str(trees[0][1].parent))


def _rename(temporary: Path, target: Path) -> None:
    try:
        os.rename(temporary, target)
    except (FileExistsError, NotADirectoryError) as error:
        raise Conflict(f"layer folder {str(target)!r} exists already") from error
    except OSError as error:
        if target.is_dir():  # ENOTEMPTY
            raise Conflict(f"layer folder {str(target)!r} exists already") from error
        raise


def digest_layer(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """The diff ID of ``blob``, which is not otherwise looked at. Answers ``{"diff_id", "size_bytes"}`` (uncompressed).

    Raises InvalidArgument where it can't be a whole tar archive: nothing else would tell that a plain one was cut.
    """
    limits = Limits.from_json(arguments.get("limits"))
    last = b""
    with _opened(arguments["blob"], fds) as blob, Uncompressed(blob, limits) as pieces:
        for piece in pieces:
            last = (last + bytes(piece[-BLOCK:]))[-BLOCK:]
        if not pieces.size_bytes:
            raise InvalidArgument("archive is empty")
        if pieces.size_bytes % BLOCK or last.strip(b"\0"):
            raise InvalidArgument("archive is truncated, or no tar archive: it does not end with a block of zeros")
        return {"diff_id": pieces.digest, "size_bytes": pieces.size_bytes}


def compress_layer(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Store ``blob`` in gzip, whatever its compression is now, in the store at ``content``: equal bytes for equal ones.

    Answers ``{"digest", "size_bytes"}`` of the new blob. Raises InvalidArgument for a bad blob, OSError.
    """
    limits = Limits.from_json(arguments.get("limits"))
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    store = ContentStore(Path(arguments["content"]))
    with _opened(arguments["blob"], fds) as blob, Uncompressed(blob, limits) as pieces, store.writer() as writer:
        for piece in pieces:
            writer.write(packer.compress(piece))
        writer.write(packer.flush())
        digest, size_bytes = writer.commit()
    return {"digest": digest, "size_bytes": size_bytes}


def remove_trees(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Remove the tree ``path``, which need not exist. Answers ``{"removed": number of names}``."""
    return {"removed": remove_tree(arguments["path"])}


def empty_folder(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Remove what is in the folder ``path``."""
    for name in os.listdir(arguments["path"]):
        remove_tree(os.path.join(arguments["path"], name), durably=False)
    return {}


def measure_tree(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Answers with ``{"size_bytes"}`` of the regular files below ``path``."""
    return {"size_bytes": tree_size_bytes(arguments["path"])}


def move_tree(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Rename ``path`` to ``target`` on the same file system."""
    os.rename(arguments["path"], arguments["target"])
    return {}


def own_file(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Give ``path`` to ``user`` and ``group``, with ``mode``."""
    os.chown(arguments["path"], arguments["user"], arguments["group"])
    os.chmod(arguments["path"], arguments["mode"])
    return {}


def read_images(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """What the ``docker save`` archive or OCI layout ``archive`` holds; its blobs go to the store at ``content``.

    Answers ``{"images": [{"config_digest", "manifest_digest", "layers": [{"digest", "diff_id", "size_bytes",
    "media_type"}], "tags": [...]}]}``, layers from the base upwards. Raises InvalidArgument, NotSupported, OSError.
    """
    limits = Limits.from_json(arguments.get("limits"))
    store = ContentStore(Path(arguments["content"]))
    with _opened(arguments.get("archive", ""), fds) as archive:
        return {"images": read_archive(archive, store, limits, arguments.get("platform"))}


def write_images(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Write ``images`` out of the store at ``content`` as an archive to the first descriptor (a file or a pipe).

    Each is ``{"config_digest", "manifest_digest" ("": one is made), "layers": [digests from the base upwards],
    "tags": [...]}``. Answers ``{"size_bytes"}``. Raises NotFound where the store lacks a blob, OSError.
    """
    store = ContentStore(Path(arguments["content"]))
    with open(fds[0], "wb", buffering=0, closefd=False) as output:
        return {"size_bytes": write_archive(output, store, arguments["images"])}


@contextmanager
def _opened(path: str, fds: list[int]) -> Iterator[BinaryIO]:
    """The first descriptor where one was passed, else the file."""
    source: int | str = fds[0] if fds else path
    with open(source, "rb", buffering=0, closefd=not fds) as file:
        yield file


JOBS: dict[str, Job] = {
    "layer.unpack": unpack_layer,
    "layers.place": place_layers,
    "layer.digest": digest_layer,
    "layer.compress": compress_layer,
    "tree.remove": remove_trees,
    "tree.empty": empty_folder,
    "tree.size": measure_tree,
    "tree.move": move_tree,
    "file.own": own_file,
    "archive.read": read_images,
    "archive.write": write_images,
}
