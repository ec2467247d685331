"""Relative paths of a document against the folder that they are meant from, and what is no path at all."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Resolve = Callable[[str], str]

NO_REMOTE_FILES = "remote compose files are not supported: fetch it, and name the local file"
_REMOTE = ("https://", "http://", "git://", "ssh://", "github.com/", "git@")


def resolver(folder: str, home: str) -> Resolve:
    """What makes paths absolute: ``~`` is the user's home, everything else lies below ``folder``. A path that is
    absolute stays as it is written."""

    def resolve(path: str) -> str:
        if path == "~" or path.startswith("~/"):
            return os.path.normpath(os.path.join(home, path[2:]))
        return path if os.path.isabs(path) else os.path.normpath(os.path.join(folder, path))

    return resolve


def is_remote_file(name: str) -> bool:
    """Whether a compose file is named that lies elsewhere: a URL, a git repository, an OCI artifact."""
    return "://" in name or name.startswith(("git@", "oci:"))


def is_remote_context(context: str) -> bool:
    """Whether a build's context is a URL or a git repository."""
    return "://" in context or context.startswith(_REMOTE)


def resolve_paths(document: dict[str, Any], resolve: Resolve) -> None:
    """Make the paths of a document in long form absolute, in place. ``extends`` and ``include`` are not touched."""
    for service in document.get("services", {}).values():
        resolve_service(service, resolve)
    for section in ("secrets", "configs"):
        for value in document.get(section, {}).values():
            _each(value, "file", resolve)
    for volume in document.get("volumes", {}).values():
        options = volume.get("driver_opts") or {}
        if volume.get("driver") == "local" and options.get("o") == "bind" and options.get("device"):
            volume["driver_opts"] = {**options, "device": resolve(str(options["device"]))}


def resolve_service(service: dict[str, Any], resolve: Resolve) -> None:
    """Make the paths of a service in long form absolute, in place."""
    build = service.get("build") or {}
    if (context := build.get("context")) is not None and not is_remote_context(context):
        build["context"] = resolve(context)
    contexts = build.get("additional_contexts")
    for name, context in contexts.items() if isinstance(contexts, dict) else ():
        if "://" not in context and not context.startswith("service:") and not is_remote_context(context):
            build["additional_contexts"][name] = resolve(context)
    if "ssh" in build:
        build["ssh"] = [_ssh(entry, resolve) for entry in build["ssh"]]
    for entry in service.get("env_file") or ():
        _each(entry, "path", resolve)
    if "label_file" in service:
        service["label_file"] = [resolve(path) for path in service["label_file"]]
    for mount in service.get("volumes") or ():
        if isinstance(mount, dict) and mount.get("type") == "bind":
            _each(mount, "source", resolve)
    for watch in (service.get("develop") or {}).get("watch") or ():
        _each(watch, "path", resolve)


def _ssh(entry: str, resolve: Resolve) -> str:
    name, has_path, path = entry.partition("=")
    return f"{name}={resolve(path)}" if has_path else entry


def _each(value: dict[str, Any], key: str, resolve: Resolve) -> None:
    if isinstance(value, dict) and isinstance(value.get(key), str) and value[key]:
        value[key] = resolve(value[key])
