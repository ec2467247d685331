"""``--userns remap[:USER]``: the host's numbers that a container's users have, from /etc/subuid and /etc/subgid."""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import Any, Mapping

from engine.domain.errors import InvalidArgument

DEFAULT_USER = "docket"
_FILES = {"uidMappings": Path("/etc/subuid"), "gidMappings": Path("/etc/subgid")}
_CONFLICTS = {"PidMode": "PID", "IpcMode": "IPC", "UTSMode": "UTS", "NetworkMode": "network"}

Json = dict[str, Any]


def is_asked_for(host: Mapping[str, Any]) -> bool:
    return _wanted(host) is not None


def _wanted(host: Mapping[str, Any]) -> str | None:
    """The user whose ranges are taken; None for the host's user namespace."""
    name, _, user = (host.get("UsernsMode") or "").partition(":")
    return (user or DEFAULT_USER) if name == "remap" else None


def check(host: Mapping[str, Any]) -> None:
    """The notation, what can't go along with it, and that there are ranges. Raises InvalidArgument."""
    mode = host.get("UsernsMode") or ""
    if mode not in ("", "host") and mode.partition(":")[0] != "remap":
        raise InvalidArgument(f"--userns: invalid USER mode: {mode}: use host, remap or remap:USER")
    if _wanted(host) is None:
        return
    if host.get("Privileged"):
        raise InvalidArgument("privileged mode is incompatible with user namespaces: leave one of the two out")
    for field, name in _CONFLICTS.items():
        shared = host.get(field) or ""
        if shared == "host" or shared.startswith("container:"):
            raise InvalidArgument(f"cannot share a {name} namespace ({shared}) when user namespaces are enabled")
    mappings(host)


def mappings(host: Mapping[str, Any]) -> Json:
    """``linux.uidMappings`` and ``linux.gidMappings``; nothing without --userns. Raises InvalidArgument."""
    user = _wanted(host)
    if user is None:
        return {}
    return {key: _ranges(path, user) for key, path in _FILES.items()}


def _ranges(path: Path, user: str) -> list[Json]:
    """All ranges of a user (subuid(5)), one after the other from 0 on. The host's root is in none of them."""
    names = {user}
    try:
        names.add(str(pwd.getpwnam(user).pw_uid))
    except KeyError:
        pass  # a range may be given to a name that is no user
    found: list[Json] = []
    inside = 0
    for line in path.read_text().splitlines() if path.exists() else ():
        name, *numbers = line.strip().split(":")
        if name not in names or len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
            continue
        first, count = map(int, numbers)
        if first == 0 or count == 0:
            raise InvalidArgument(f"{path}: the range of {user} must not hold 0, the host's root")
        found.append({"containerID": inside, "hostID": first, "size": count})
        inside += count
    if not found:
        raise InvalidArgument(f"--userns remap: {path} has no range for {user}: add a line {user}:100000:65536")
    return found
