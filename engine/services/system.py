"""Facts about the engine: counts and paths, disk usage."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any, Mapping

from engine.images.registry.settings import RegistrySettings
from engine.kernel import cgroups
from engine.kernel.paths import file_system_type
from engine.services import rootless, trees
from engine.services.core import Core
from engine.services.remaps import Remaps

_CONTROLLERS = {
    "MemoryLimit": "memory", "CpuCfsPeriod": "cpu", "CpuCfsQuota": "cpu", "CPUShares": "cpu", "CPUSet": "cpuset",
    "PidsLimit": "pids",
}  # fmt: skip
"""Docker's name of an ability -> the controller that it needs."""
_LACKS = {
    "MemoryLimit": "memory limit", "SwapLimit": "swap limit", "OomKillDisable": "oom kill disable",
    "CpuCfsQuota": "cpu cfs quota", "CpuCfsPeriod": "cpu cfs period", "CPUShares": "cpu shares", "CPUSet": "cpuset",
    "PidsLimit": "pids limit",
}  # fmt: skip
"""... -> how Docker warns where it isn't there."""
_FILE_SYSTEMS = {
    0xEF53: "extfs", 0x58465342: "xfs", 0x9123683E: "btrfs", 0x01021994: "tmpfs", 0x794C7630: "overlayfs",
    0x2FC12FC1: "zfs", 0xF2F52010: "f2fs", 0x6969: "nfs",
}  # fmt: skip
"""Magic number (statfs(2)) -> Docker's name."""


def abilities(hierarchy: cgroups.Hierarchy) -> dict[str, Any]:
    """Which limits the host's cgroups allow, and Docker's warnings of those that they don't."""
    found = {name: controller in hierarchy.controllers for name, controller in _CONTROLLERS.items()}
    found["SwapLimit"] = _counts_swap(hierarchy)
    found["OomKillDisable"] = "memory" in hierarchy.controllers and hierarchy.is_v1("memory")
    lacks = [name for name in _LACKS if not found[name] and (name != "OomKillDisable" or hierarchy.mode != "v2")]
    warnings = [f"WARNING: No {_LACKS[name]} support" for name in lacks]
    return {**found, "Warnings": warnings or None}


def proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Those of the engine itself, without the credentials in their addresses."""
    names = {"HttpProxy": "HTTP_PROXY", "HttpsProxy": "HTTPS_PROXY", "NoProxy": "NO_PROXY"}
    given = {name: environment.get(word) or environment.get(word.lower()) or "" for name, word in names.items()}
    return {name: re.sub(r"^(\w+://)[^/]*@", r"\1xxxxx:xxxxx@", value) for name, value in given.items()}


def _counts_swap(hierarchy: cgroups.Hierarchy) -> bool:
    """Whether the kernel accounts swap to cgroups: swapaccount may be off on v1."""
    mount_point = hierarchy.controllers.get("memory")
    if mount_point is None or not hierarchy.is_v1("memory"):
        return mount_point is not None
    return os.path.exists(os.path.join(mount_point, "memory.memsw.limit_in_bytes"))


def registry_config(settings: RegistrySettings) -> dict[str, Any]:
    """Docker's form of the settings: networks on the one side, hosts on the other."""
    networks = [name for name in settings.insecure if "/" in name]
    hub = {"Name": "docker.io", "Mirrors": list(settings.mirrors), "Secure": True, "Official": True}
    hosts = {
        name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False}
        for name in settings.insecure if "/" not in name
    }  # fmt: skip
    return {
        "AllowNondistributableArtifactsCIDRs": [],
        "AllowNondistributableArtifactsHostnames": [],
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", *networks],
        "IndexConfigs": {"docker.io": hub, **hosts},
        "Mirrors": list(settings.mirrors),
    }


def _file_system_of(path: Path) -> str:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return _FILE_SYSTEMS.get(file_system_type(fd), "<unknown>")
    finally:
        os.close(fd)


class System:
    """``docket info``, ``docket system df``."""

    def __init__(self, core: Core, remaps: Remaps, registries: RegistrySettings = RegistrySettings()) -> None:
        self._core = core
        self._remaps = remaps
        self._registries = registries

    def info(self) -> dict[str, Any]:
        """What only the engine knows, under the names of Docker's info; ``Docket`` is our own."""
        log = self._core.log
        statuses = Counter(container.public_status for container in log.all("container"))
        running, paused = statuses["running"], statuses["paused"]
        hierarchy = cgroups.detect()
        limits = abilities(hierarchy)
        head = log.head()
        return {
            "Containers": statuses.total(),
            "ContainersRunning": running,
            "ContainersPaused": paused,
            "ContainersStopped": statuses.total() - running - paused,
            "Images": sum(image.status == "present" for image in log.all("image")),
            "DockerRootDir": str(self._core.store.root),
            "CgroupVersion": "2" if hierarchy.mode == "v2" else "1",
            "DriverStatus": [
                ["Backing Filesystem", _file_system_of(self._core.store.root)],
                ["userxattr", str(self._core.rootless is not None).lower()],
            ],
            **limits,
            **proxies(os.environ),
            "Runtimes": self._core.runtimes.public(),
            "DefaultRuntime": self._core.runtimes.default,
            "RegistryConfig": registry_config(self._registries),
            **(rootless.about(self._core.rootless, limits["Warnings"]) if self._core.rootless else {}),
            "Docket": {"CgroupParent": self._core.cgroup_parent, "Events": head.seq, "Head": f"{head.seq}:{head.hash}"},
        }

    def disk_usage(self) -> dict[str, Any]:
        """Bytes: layers (each once), what each image shares, (written, whole root) by container, volumes by name; and
        the copies of layers with shifted owners."""
        log, store = self._core.log, self._core.store
        layer_bytes = {layer.id: layer.size_bytes for layer in log.all("layer") if layer.status == "stored"}
        images = [image for image in log.all("image") if image.status == "present"]
        users = Counter(chain_id for image in images for chain_id in image.chain_ids)
        image_bytes = {image.id: image.size_bytes for image in images}
        containers = {}
        for container in log.all("container"):
            written = trees.size_bytes(self._core.runtime, store.container(container.id) / "upper")
            containers[container.id] = (written, written + image_bytes.get(container.image_id, 0))
        return {
            "layers_bytes": sum(layer_bytes.values()),
            "layer_copies": self._remaps.usage(),
            "image_shared_bytes": {
                image.id: sum(layer_bytes.get(chain_id, 0) for chain_id in image.chain_ids if users[chain_id] > 1)
                for image in images
            },
            "container_bytes": containers,
            "volume_bytes": {
                volume.id: trees.size_bytes(self._core.runtime, store.volume(volume.id))
                for volume in log.all("volume") if volume.status == "present"
            },
        }
