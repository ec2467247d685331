"""What the operator says about registries; the keys are those of Docker's daemon.json."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SEARCH_INDEX = "https://index.docker.io"
CERTIFICATE_FOLDERS = (Path("/etc/docket/certs.d"), Path("/etc/docker/certs.d"))


class Patience(NamedTuple):
    """How long a registry is waited for. ``attempts`` counts the first one; the wait between two doubles each time."""

    connect_timeout_s: float = 15.0
    stall_timeout_s: float = 60.0
    attempts: int = 6
    backoff_s: float = 0.5
    longest_wait_s: float = 60.0


class RegistrySettings(NamedTuple):
    """``mirrors`` (base URLs) are asked before docker.io itself. ``insecure`` (hosts, hosts with ports, networks in
    CIDR notation) may be spoken to by plain HTTP and by TLS with certificates that nobody vouches for, as loopback may.
    ``certificate_folders`` hold a folder HOST[:PORT] for each registry with CAs and client certificates of its own.
    ``downloads`` and ``uploads`` is how many blobs move at once."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    search_index: str = SEARCH_INDEX
    certificate_folders: tuple[Path, ...] = CERTIFICATE_FOLDERS
    downloads: int = 3
    uploads: int = 5
    patience: Patience = Patience()
