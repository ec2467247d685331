"""What the resolvers in the shims read: a file a network with its names, and a file a container with its networks.

Each is written whole and renamed into place; a resolver that sees another file reads it at its next question. So the
answers follow at once, without the daemon having to reach every shim, and are there while it is down.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from engine.services.core import Core

FILE = "resolver.json"
"""In the container's folder."""


class NameFiles:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._lock = threading.Lock()

    def path(self, network_id: str) -> Path:
        return self._core.run_dir / "names" / f"{network_id}.json"

    def write(self, network_id: str) -> None:
        """Write a network's names as the log has them now: of containers that are attached or about to be."""
        network = self._core.log.get("network", network_id)
        if network is None:
            return
        with self._lock:
            names: dict[str, list[str]] = {}
            addresses: dict[str, str] = {}
            for endpoint_id in self._core.log.endpoints_of_network(network_id):
                endpoint = self._core.log.get("endpoint", endpoint_id)
                if endpoint is None or not endpoint.addresses or endpoint.status == "detaching":
                    continue
                container = self._core.log.get("container", endpoint.container_id)
                if container is None:
                    continue
                for name in dict.fromkeys([container.name, container.id[:12], *endpoint.aliases]):
                    names.setdefault(name.lower(), []).extend(endpoint.addresses)
                for address in endpoint.addresses:
                    addresses[address] = f"{container.name}.{network.name}"
            path = self.path(network_id)
            path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
            _replace(path, {"network": network.name, "names": names, "addresses": addresses})

    def forget(self, network_id: str) -> None:
        self.path(network_id).unlink(missing_ok=True)

    def write_container(self, folder: Path, networks: list[dict[str, Any]], servers: list[str]) -> None:
        """``networks`` have "file", "internal" and "links" (alias -> name); ``servers`` are asked for the rest."""
        _replace(folder / FILE, {"networks": networks, "servers": servers})


def _replace(path: Path, value: Any) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    # the kernel's own times may be the same for files that are written a moment after each other
    os.utime(temporary, ns=(time.time_ns(),) * 2)
    temporary.rename(path)
