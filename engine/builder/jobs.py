"""What worker processes do for builds: receiving a context, looking at the sources of a COPY, copying.

A *tree* is ``{"folder": path}``, or ``{"lower": [folders, topmost first], "scratch": path}``: layers that are mounted
for this job alone, in a mount namespace of the worker's own. See ``engine.images.jobs`` for the rules.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

from engine.builder.copying import Copier, Rules, is_archive, open_destination, unpack
from engine.builder.modes import parse_mode
from engine.builder.sources import Source, fingerprint, select
from engine.client.dockerignore import Ignored
from engine.images.content import ContentStore
from engine.images.jobs import unpack_into
from engine.images.layer_writer import Rules as TarRules
from engine.images.layer_tar import write_layer_tar
from engine.images.limits import Limits
from engine.images.tar_writer import TarWriter, add_folder
from engine.images.trees import remove_tree
from engine.kernel import mounts, namespaces
from engine.kernel.steps import step
from engine.runtime import users
from engine.runtime.overlay import mount_overlay

Json = dict[str, Any]
LISTED = 2000
"""So many files of a COPY are named in the record of its inputs; of more only the digest is."""


def receive_context(arguments: Json, fds: list[int]) -> Json:
    """Unpack the archive that comes by the first descriptor into the new folder ``target``. Owners in it count for
    nothing; where root is nobody outside, the daemon could not read what is another user's.

    Answers ``{"digest", "size_bytes", "entries"}``. Raises InvalidArgument for a bad archive, OSError."""
    target, limits = Path(arguments["target"]), Limits.from_json(arguments.get("limits"))
    try:
        with open(fds[0], "rb", buffering=0, closefd=False) as stream, step("build.context"):
            owner = (0, 0) if namespaces.in_user_namespace() else None
            digest, written = unpack_into(stream, target, limits, TarRules(whiteouts=False, owner=owner))
    except BaseException:
        remove_tree(str(target))
        raise
    return {"digest": digest, "size_bytes": written.size_bytes, "entries": written.entries}


def look_at_sources(arguments: Json, fds: list[int]) -> Json:
    """What ``look`` finds: the digest is the answer, the entries go to the file ``listing`` as JSON."""
    digest, listed = look(arguments)
    with open(arguments["listing"], "w", encoding="ascii") as file:
        json.dump(listed, file)
    return {"digest": digest}


def look(arguments: Json) -> tuple[str, list[list[Any]]]:
    """The digest of what ``words`` name in ``tree``, owners included where ``owners`` is set, and the entries (see
    ``fingerprint``), none where there are more than LISTED. Raises InvalidArgument, OSError."""
    ignored = Ignored(arguments["exclude"])
    digest, listed, count = hashlib.sha256(), list[list[Any]](), 0
    with _opened(arguments["tree"]) as tree_fd:
        for source in select(tree_fd, arguments["words"], keep_parents=arguments["parents"]):
            for entry in fingerprint(tree_fd, source, ignored, owners=arguments["owners"]):
                digest.update(json.dumps(entry).encode())
                count += 1
                if count <= LISTED:
                    listed.append(entry)
    return f"sha256:{digest.hexdigest()}", listed if count <= LISTED else []


def copy_sources(arguments: Json, fds: list[int]) -> Json:
    """Copy what ``words`` name in ``tree`` to ``destination`` in the root ``{"lower", "scratch"}``, whose writable
    layer is ``scratch``/upper. ``chown`` and ``chmod`` are the flags' texts; without ``chown`` and with ``keep_owners``
    files keep theirs. ``archives``: unpack what is a tar archive. ``commit``: what ``commit_step`` needs beside the
    root, where this is the last that the step does.

    Answers ``{"blob": what commit_step answers}``, else ``{}``. Raises InvalidArgument, OSError."""
    limits, ignored = Limits.from_json(arguments.get("limits")), Ignored(arguments["exclude"])
    destination: str = arguments["destination"]
    with _opened(arguments["tree"]) as tree_fd, _mounted(arguments["root"]) as root_fd, step("build.copy"):
        umask = os.umask(0)
        try:
            copier = Copier(root_fd, destination, Rules(_owner(root_fd, arguments), parse_mode(arguments["chmod"])))
            plain: list[Source] = []
            for source in select(tree_fd, arguments["words"], keep_parents=arguments["parents"]):
                if arguments["archives"] and is_archive(tree_fd, source, limits):
                    unpack(root_fd, tree_fd, source, destination, limits)
                else:
                    plain.append(source)
            copier.copy(tree_fd, plain, ignored)
        finally:
            os.umask(umask)
    return _committed(arguments)


def make_folder(arguments: Json, fds: list[int]) -> Json:
    """WORKDIR: make the folder ``path`` in the root ``{"lower", "scratch"}`` where it is missing, root's.
    ``commit`` and the answer are as with ``copy_sources``."""
    with _mounted(arguments["root"]) as root_fd, step("build.copy"):
        umask = os.umask(0)
        try:
            os.close(open_destination(root_fd, arguments["path"], (0, 0)))
        finally:
            os.umask(umask)
    return _committed(arguments)


def _committed(arguments: Json) -> Json:
    """When nothing is mounted any more. One worker does both, since to fork another takes longer than most copies."""
    commit = arguments.get("commit")
    return {"blob": commit_step({"root": arguments["root"], **commit}, [])} if commit else {}


def _owner(root_fd: int, arguments: Json) -> tuple[int, int] | None:
    chown: str = arguments["chown"]
    if not chown:
        return None if arguments["keep_owners"] else (0, 0)
    user, _, group = chown.partition(":")
    found = users.resolve(root_fd, f"{user}:{group or user}")  # as Docker: a user alone stands for the group too
    return found.uid, found.gid


# --- trees ---


@contextmanager
def _opened(tree: Json) -> Iterator[int]:
    if "folder" in tree:
        fd = os.open(tree["folder"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
        return
    with _mounted(tree) as fd:
        yield fd


@contextmanager
def _mounted(root: Json) -> Iterator[int]:
    """The mount ends with this, and with the worker at the latest: nobody else ever sees it."""
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)
    folders = {name: os.path.join(root["scratch"], name) for name in ("upper", "work", "merged")}
    for folder in folders.values():
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)
    with step("rootfs.overlay"):
        mount_overlay(root["lower"], folders["upper"], folders["work"], folders["merged"])
    try:
        fd = os.open(folders["merged"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)
    finally:
        mounts.umount(folders["merged"], mounts.MNT_DETACH)


def commit_step(arguments: Json, fds: list[int]) -> Json:
    """Store what ``scratch``/upper changes of the layers ``lower`` as a blob in the store at ``content``; see
    ``layer.commit``. Here nothing was mounted by the engine, so everything counts."""
    upper = os.path.join(arguments["root"]["scratch"], "upper")
    with ContentStore(Path(arguments["content"])).writer() as writer:
        entries = write_layer_tar(
            writer.write, upper, arguments["root"]["lower"], stubs=frozenset(), latest_s=arguments.get("latest_s")
        )
        if not entries:
            return {"digest": "", "size_bytes": 0, "entries": 0}
        blob = writer.commit()
    return {"digest": blob.digest, "size_bytes": blob.size_bytes, "entries": entries}


def export_tree(arguments: Json, fds: list[int]) -> Json:
    """Write all of the root ``{"lower", "scratch"}`` as an archive to the first descriptor. Answers with its size."""
    with _mounted(arguments["root"]) as root_fd, open(fds[0], "wb", closefd=False) as output:
        writer = TarWriter(output.write, arguments.get("latest_s"))
        add_folder(writer, b"", root_fd)
        writer.end()
    return {"size_bytes": writer.size_bytes}


JOBS: dict[str, Callable[[Json, list[int]], Json]] = {
    "build.receive": receive_context,
    "build.look": look_at_sources,
    "build.copy": copy_sources,
    "build.folder": make_folder,
    "build.export": export_tree,
}
