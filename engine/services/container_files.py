"""The files that every container gets from the engine: /etc/hostname, /etc/hosts and /etc/resolv.conf."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

_RESOLV_CONF = Path("/etc/resolv.conf")
_LOCAL_HOSTS = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)


def write_container_files(
    folder: Path, hostname: str, config: Mapping[str, Any], host: Mapping[str, Any]
) -> dict[str, Path]:
    """Write them into the container's folder and answer with destination to source. They may be edited inside."""
    contents = {
        "/etc/hostname": f"{hostname}\n",
        "/etc/hosts": _hosts(hostname, host),
        "/etc/resolv.conf": _resolv_conf(host),
    }
    files = {}
    for destination, text in contents.items():
        path = folder / destination.rpartition("/")[2]
        path.write_text(text)
        files[destination] = path
    return files


def _hosts(hostname: str, host: Mapping[str, Any]) -> str:
    if host["NetworkMode"] == "host" and Path("/etc/hosts").exists():
        base = Path("/etc/hosts").read_text()
    else:
        base = _LOCAL_HOSTS
    extra = [entry.split(":", 1) for entry in host.get("ExtraHosts") or []]
    return base + "".join(f"{address}\t{name}\n" for name, address in extra)


def _resolv_conf(host: Mapping[str, Any]) -> str:
    """The host's, less nameservers on its loopback, which a container can't reach; --dns options take precedence."""
    lines = _RESOLV_CONF.read_text().splitlines() if _RESOLV_CONF.exists() else []
    if host["NetworkMode"] != "host":
        local = ("nameserver 127.", "nameserver ::1")
        lines = [line for line in lines if not line.replace("\t", " ").startswith(local)]
    for key, field in (("nameserver", "Dns"), ("search", "DnsSearch"), ("options", "DnsOptions")):
        if values := host.get(field):
            lines = [line for line in lines if not line.startswith(key)]
            lines += [f"{key} {value}" for value in values] if key == "nameserver" else [f"{key} {' '.join(values)}"]
    return "".join(f"{line}\n" for line in lines)
