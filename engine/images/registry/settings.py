"""What the operator says about registries; the keys are those of Docker's daemon.json."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from engine.domain.errors import InvalidArgument
from engine.images.registry.addresses import Place

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
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


def checked(settings: RegistrySettings) -> RegistrySettings:
    """The same. Raises InvalidArgument for an address that means nothing."""
    for mirror in settings.mirrors:
        _check_base(mirror, "registry mirror")
    _check_base(settings.search_index, "search index")
    for entry in settings.insecure:
        _check_insecure(entry)
    return settings


def _check_base(url: str, what: str) -> None:
    try:
        Place.of(url)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid {what}: {error}") from error
    parts = urlsplit(url)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidArgument(f"invalid {what}: {url!r} has more than scheme, host and port")


def _check_insecure(entry: str) -> None:
    if "://" in entry:
        raise InvalidArgument(f"insecure registry {entry} should not contain '://'")
    if "/" not in entry:
        if not _HOST.fullmatch(entry):
            raise InvalidArgument(f"insecure registry {entry!r} is no host")
        return
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError as error:
        raise InvalidArgument(f"insecure registry {entry!r} is no network: {error}") from error
