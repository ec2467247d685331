"""Volumes and devices of a service in the short form."""

from __future__ import annotations

import posixpath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROPAGATION = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_CONSISTENCY = ("consistent", "cached", "delegated")


def _sections(text: str) -> list[str]:
    """What stands between the colons. Those of a variable that is not filled in (``${A:-b}``) separate nothing."""
    found, at, depth = [], 0, 0
    for index, letter in enumerate(text):
        if letter == "{" and text[index - 1 : index] == "$":
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
        elif letter == ":" and not depth:
            found.append(text[at:index])
            at = index + 1
    return [*found, text[at:]]


def parse_volume(text: str) -> dict[str, Any]:
    """``[SOURCE:]TARGET[:OPTION,...]`` in long form. Raises ValueError."""
    parts = _sections(text)
    if not text or "" in parts:
        raise ValueError(f"invalid spec: {text}: {'empty section between colons' if text else 'empty volume spec'}")
    if len(parts) > 3:
        raise ValueError(f"invalid spec: {text}: too many colons, please use long syntax")
    if len(parts) == 1:
        return {"type": "volume", "target": posixpath.normpath(text), "volume": {}}
    source, target = parts[0], posixpath.normpath(parts[1])
    is_bind = source[0] in "./~"
    mount: dict[str, Any] = {"type": "bind" if is_bind else "volume", "source": source, "target": target}
    options: dict[str, Any] = {"create_host_path": True} if is_bind else {}
    for option in parts[2].split(",") if len(parts) == 3 else ():
        _add_option(option, mount, options, text)
    return {**mount, mount["type"]: options}


def _add_option(option: str, mount: dict[str, Any], options: dict[str, Any], text: str) -> None:
    is_bind = mount["type"] == "bind"
    if option == "ro":
        mount["read_only"] = True
    elif option in ("nocopy", "volume-nocopy"):
        if not is_bind:
            options["nocopy"] = True
    elif option in ("z", "Z"):
        if is_bind:
            options["selinux"] = option
    elif option in _PROPAGATION and is_bind:
        options["propagation"] = option
    elif option not in ("rw", *_CONSISTENCY):
        raise ValueError(f"invalid spec: {text}: unknown option {option}")


def parse_device(text: str) -> dict[str, Any]:
    """``SOURCE[:TARGET[:PERMISSIONS]]`` in long form. Raises ValueError."""
    parts = _sections(text)
    if len(parts) > 3:
        raise ValueError(f"confusing device mapping, please use long syntax: {text}")
    target = parts[1] if len(parts) > 1 else parts[0]
    return {"source": parts[0], "target": target, "permissions": parts[2] if len(parts) > 2 else "rwm"}
