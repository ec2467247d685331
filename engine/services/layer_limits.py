"""How much a container may write into its root: ``--storage-opt size=10G``.

The limit is the kernel's, by a project quota. A container's project is on record from its creation on, so that a start
after a crash, a copy into a container that never ran and the removal all mean the same one.
"""

from __future__ import annotations

import os
import re
import zlib
from contextlib import contextmanager
from typing import Any, Iterator, Mapping

from engine.domain.container import Container
from engine.domain.errors import EngineError, InvalidArgument
from engine.kernel import project_quota
from engine.services.core import Core

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(?:([kmgtp])i?)?b?", re.IGNORECASE)
_UNITS = "kmgtp"
_PROJECTS = 1 << 20
"""How many a data root has for its containers. Engines that share a file system begin at different ones, since the
kernel doesn't know of those whose container has not started yet."""


def size_bytes(host: Mapping[str, Any]) -> int:
    """What HostConfig asks for; 0 where it asks for nothing. Raises InvalidArgument."""
    options = host.get("StorageOpt") or {}
    for name in options:
        if name.lower() != "size":
            raise InvalidArgument(f"unknown storage option: {name}")
    for text in options.values():
        match = _SIZE.fullmatch(text)
        size = int(float(match[1]) * 1024 ** (1 + _UNITS.find(match[2].lower()) if match[2] else 0)) if match else 0
        if not size:
            raise InvalidArgument(f'invalid size "{text}" of --storage-opt: use 512m, 10G')
        return size
    return 0


@contextmanager
def reserved(core: Core, host: Mapping[str, Any]) -> Iterator[int]:
    """The project of a container that is about to be created, 0 where it needs none; nobody else is given it meanwhile.
    Raises EngineError where the file system can't limit it."""
    if not size_bytes(host):
        yield 0
        return
    folder = os.open(core.store.containers, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if reason := project_quota.refusal(folder):
            raise EngineError(
                f"--storage-opt size is not possible in {core.store.root}: {reason}; limit what is written by "
                "--read-only and --tmpfs PATH:size=..."
            )
        with core.recorder.exclusive("projects"):
            yield _free_project(core, folder)
    finally:
        os.close(folder)


def _free_project(core: Core, folder: int) -> int:
    """The lowest one of this engine's that no container has, and for which no file counts any more."""
    taken = {container.project for container in core.log.all("container")}
    first = (1 + zlib.crc32(os.fsencode(core.store.root)) % (1 << 11)) * _PROJECTS
    for project in range(first, first + _PROJECTS):
        if project not in taken and project_quota.is_free(folder, project):
            return project
    raise EngineError(f"all projects of {core.store.root} are in use")


def of(container: Container, host: Mapping[str, Any]) -> dict[str, Any]:
    """What a plan's ``overlay`` has of it (``engine.runtime.writable_layer``)."""
    return {"limit": {"project": container.project, "bytes": size_bytes(host)}} if container.project else {}


def lift(core: Core, container: Container) -> None:
    """Nothing is left of it in the kernel when the last file is gone."""
    if container.project:
        arguments = {"folder": str(core.store.containers), "project": container.project}
        core.runtime.run_job("layer.lift_limit", arguments)
