"""What a step depends on, as a document; its digest is the step's key in the cache.

Contents, modes and owners count, times don't. Two documents that differ say why a step could not be reused.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Mapping

VERSION = 1
"""Count this up when steps come to do something else with the same inputs."""

Inputs = dict[str, Any]

_NAMED = {
    "command": "the command", "destination": "the destination", "workdir": "the working directory", "user": "the user",
    "chown": "--chown", "chmod": "--chmod", "mounts": "--mount", "network": "--network", "path": "the path",
    "exclude": "--exclude", "shell": "the shell", "add_hosts": "--add-host", "epoch": "SOURCE_DATE_EPOCH",
}  # fmt: skip
_SHOWN = 4


def document_of(inputs: Mapping[str, Any]) -> bytes:
    """Canonical JSON."""
    return json.dumps({"version": VERSION, **inputs}, sort_keys=True, separators=(",", ":")).encode()


def key_of(document: bytes) -> str:
    return "sha256:" + hashlib.sha256(document).hexdigest()


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What changed between two inputs of the same instruction, in a line."""
    if before.get("instruction") != now.get("instruction"):
        return "the instruction is new"
    said = []
    for name, value in now.items():
        if before.get(name) == value or name in ("parent", "files_digest"):
            continue
        if name == "files":
            said.append(_files(before.get(name) or [], value))
        elif name in ("env", "args"):
            said.append(_pairs(name, before.get(name) or {}, value))
        else:
            said.append(f"{_NAMED.get(name, name)} changed")
    if before.get("files_digest") != now.get("files_digest") and before.get("files") == now.get("files"):
        said.append("its files changed")
    if before.get("parent") != now.get("parent"):
        said.append("what it builds on changed")
    return "; ".join(filter(None, said)) or "the builder itself changed"


def _files(before: list[list[Any]], now: list[list[Any]]) -> str:
    old = {entry[0]: entry[1:] for entry in before}
    new = {entry[0]: entry[1:] for entry in now}
    parts = [
        ("changed", [name for name in new if name in old and old[name] != new[name]]),
        ("added", [name for name in new if name not in old]),
        ("removed", [name for name in old if name not in new]),
    ]
    return ", ".join(f"{_listed(names)} {what}" for what, names in parts if names)


def _pairs(kind: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    what = "environment variable" if kind == "env" else "build argument"
    return f"{what} {_listed(changed)} changed"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name or "." for name in names[:_SHOWN]) + more
