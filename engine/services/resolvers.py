"""The name servers that the host itself asks (resolv.conf(5))."""

from __future__ import annotations

from pathlib import Path

_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))


def host_lines(*, reachable_only: bool) -> list[str]:
    """The lines of the host's resolv.conf. With ``reachable_only``, less the name servers on its loopback, which a
    container can't reach; where there are no others, those that a local resolver itself asks (systemd's file)."""
    for path in _FILES:
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        if not reachable_only:
            return lines
        kept = [line for line in lines if not _is_local(line)]
        if any(line.startswith("nameserver") for line in kept) or path == _FILES[-1]:
            return kept
    return []


def _is_local(line: str) -> bool:
    return line.replace("\t", " ").startswith(("nameserver 127.", "nameserver ::1"))


def upstream_servers() -> list[str]:
    """What the shims' resolvers forward to: they live on the host and can reach its loopback, too."""
    lines = host_lines(reachable_only=False)
    return [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
