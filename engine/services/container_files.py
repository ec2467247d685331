"""The files that every container gets from the engine: /etc/hostname, /etc/hosts and /etc/resolv.conf."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Sequence

from engine.services import user_network
from engine.services.network_settings import NetworkSettings
from engine.services.resolvers import host_lines

RESOLVER = "127.0.0.11"
"""Where a container on a network of its user's finds the resolver that its shim runs."""
_LOCAL_HOSTS = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)


def with_defaults(host: Mapping[str, Any], settings: NetworkSettings) -> dict[str, Any]:
    """The container's settings, completed by those of the operator for all that have none of their own."""
    defaults = {"Dns": settings.dns, "DnsSearch": settings.dns_search, "DnsOptions": settings.dns_options}
    return {**host, **{key: host.get(key) or list(value) for key, value in defaults.items()}}


def write_container_files(
    folder: Path, hostname: str, config: Mapping[str, Any], host: Mapping[str, Any], addresses: Sequence[str] = (),
    gateway: str = "", has_resolver: bool = False, linked: Sequence[tuple[str, str]] = (),
) -> dict[str, Path]:  # fmt: skip
    """Write them into the container's folder and answer with destination to source. They may be edited inside.

    ``addresses`` are the container's own, ``gateway`` the host as it sees it, ``linked`` addresses and names of others.
    """
    contents = {
        "/etc/hostname": f"{hostname}\n",
        "/etc/hosts": _hosts(hostname, config, host, addresses, gateway, linked),
        "/etc/resolv.conf": _resolv_conf(host, has_resolver),
    }
    files = {}
    for destination, text in contents.items():
        path = folder / destination.rpartition("/")[2]
        path.write_text(text)
        files[destination] = path
    return files


def write_network_files(
    folder: Path, hostname: str, config: Mapping[str, Any], host: Mapping[str, Any], addresses: Sequence[str],
    gateway: str, has_resolver: bool, linked: Sequence[tuple[str, str]],
) -> None:  # fmt: skip
    """Write anew, in place, what a running container's networks decide: it has the files mounted."""
    (folder / "hosts").write_text(_hosts(hostname, config, host, addresses, gateway, linked))
    (folder / "resolv.conf").write_text(_resolv_conf(host, has_resolver))


def _hosts(
    hostname: str, config: Mapping[str, Any], host: Mapping[str, Any], addresses: Sequence[str], gateway: str,
    linked: Sequence[tuple[str, str]],
) -> str:  # fmt: skip
    if host["NetworkMode"] == "host" and Path("/etc/hosts").exists():
        base = Path("/etc/hosts").read_text()
    else:
        base = _LOCAL_HOSTS
    domain = config.get("Domainname") or ""
    own = f"{hostname}.{domain} {hostname}" if domain else hostname
    extra = [entry.split(":", 1) for entry in host.get("ExtraHosts") or []]
    entries = [(gateway or "127.0.0.1" if address == "host-gateway" else address.strip("[]"), name)
               for name, address in extra]  # fmt: skip
    entries += [*linked, *((address, own) for address in addresses)]
    return base + "".join(f"{address}\t{name}\n" for address, name in entries)


def _resolv_conf(host: Mapping[str, Any], has_resolver: bool) -> str:
    """The host's, less what the container can't reach, or the shim's resolver; --dns options take precedence."""
    lines = host_lines(reachable_only=host["NetworkMode"] != "host")
    if address := user_network.resolver(host):
        lines = [f"nameserver {address}", *(line for line in lines if not line.startswith("nameserver"))]
    fields = [("nameserver", "Dns"), ("search", "DnsSearch"), ("options", "DnsOptions")]
    for key, field in fields:
        if values := host.get(field):
            lines = [line for line in lines if not line.startswith(key)]
            lines += [f"{key} {value}" for value in values] if key == "nameserver" else [f"{key} {' '.join(values)}"]
    if has_resolver:
        lines = [line for line in lines if not line.startswith("nameserver")]
        lines.insert(0, f"nameserver {RESOLVER}")
        if not any(line.startswith("options") for line in lines):
            lines.append("options ndots:0")
    return "".join(f"{line}\n" for line in lines)
