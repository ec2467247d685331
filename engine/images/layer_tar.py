"""A writable layer as the tar archive of an image layer (OCI image specification, "Image Layer Filesystem Changeset").

Equal changes make equal archives: names are sorted, times are whole seconds, owners are numbers.
"""

from __future__ import annotations

from typing import Callable, Sequence

from engine.images.layer_writer import OPAQUE, WHITEOUT
from engine.images.overlay_diff import STUBS, changes
from engine.images.owners import Owners
from engine.images.tar_writer import TarWriter


def write_layer_tar(
    write: Callable[[bytes], object], upper: str, lower: Sequence[str], *,
    stubs: frozenset[bytes] = STUBS, latest_s: int | None = None, owners: Owners = Owners(),
) -> int:  # fmt: skip
    """Write what ``upper`` changes of the layers ``lower`` (topmost first). Answers with the number of entries: 0 where
    nothing changed. Files later than ``latest_s`` (seconds since the epoch; SOURCE_DATE_EPOCH) get that time."""
    writer = TarWriter(write, latest_s, owners)
    entries = 0
    for change in changes(upper, lower, stubs):
        entries += 1
        folder, _, leaf = change.path.rpartition(b"/")
        prefix = folder + b"/" if folder else b""
        if change.found is None:
            writer.add_empty(prefix + WHITEOUT + leaf)
            continue
        is_folder = change.found.st_mode & 0o170000 == 0o040000
        writer.add(change.path + b"/" if is_folder else change.path, change.folder_fd, change.leaf, change.found)
        if change.hides:
            writer.add_empty(change.path + b"/" + OPAQUE)
    writer.end()
    return entries
