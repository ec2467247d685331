"""Facts about the engine and its host."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from engine import __version__
from engine.kernel import cgroups
from engine.services.core import Core
from engine.services.views import tree_size_bytes


class System:
    """``docket info``, ``docket system df``."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def info(self) -> dict[str, Any]:
        """Counts of objects, versions, paths; memory in bytes."""
        containers = self._core.log.all("container")
        by_status = [container.public_status for container in containers]
        return {
            "containers": len(containers),
            "running": by_status.count("running"),
            "paused": by_status.count("paused"),
            "stopped": len(containers) - by_status.count("running") - by_status.count("paused"),
            "images": len(self._core.log.all("image")),
            "root": str(self._core.store.root),
            "engine_version": __version__,
            "cgroup_version": "2" if cgroups.detect().kind == "v2" else "1",
            "cgroup_parent": self._core.cgroup_parent,
            "kernel_version": platform.release(),
            "operating_system": _os_name(),
            "architecture": platform.machine(),
            "cpus": os.cpu_count() or 1,
            "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "name": platform.node(),
            "head_seq": self._core.log.head().seq,
        }

    def disk_usage(self) -> dict[str, Any]:
        """Bytes of layers (each once), of writable layers by container, of volumes by name."""
        log, store = self._core.log, self._core.store
        return {
            "layers_bytes": sum(layer.size_bytes for layer in log.all("layer") if layer.status == "stored"),
            "containers": {c.id: tree_size_bytes(store.container(c.id) / "upper") for c in log.all("container")},
            "volumes": {volume.id: tree_size_bytes(store.volume(volume.id)) for volume in log.all("volume")},
        }


def _os_name() -> str:
    for line in Path("/etc/os-release").read_text().splitlines() if Path("/etc/os-release").exists() else ():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return platform.system()
