"""Image configurations: the JSON document whose digest is the image's id (OCI image specification, config.md).

A configuration from outside is checked before anything is made of it: later code may rely on the types that ``parse``
has seen. One that is made here is written with sorted keys and no spaces, so that equal images have equal ids.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from typing import Any, Callable, Mapping, Sequence

from engine.domain.errors import InvalidArgument, NotSupported
from engine.images.changes import apply_changes
from engine.images.content import check_digest
from engine.images.documents import parse_object
from engine.images.platforms import this_machine

__all__ = ["apply_changes", "chain_ids", "derived", "digest_of", "host_platform", "imported", "parse"]

LAYER_LIMIT = 500
"""As many layers as an overlay mount takes."""


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The chain ID of each layer, from the base upwards (OCI image specification, "Layer ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        name = f"{chain[-1]} {diff_id}" if chain else ""
        chain.append("sha256:" + hashlib.sha256(name.encode()).hexdigest() if name else diff_id)
    return chain


def digest_of(document: bytes) -> str:
    """The image's id."""
    return "sha256:" + hashlib.sha256(document).hexdigest()


def host_platform() -> tuple[str, str]:
    """Operating system and architecture of this machine, in Go's words."""
    machine = this_machine()
    return machine.os, machine.architecture


def imported(
    diff_id: str, settings: Mapping[str, Any], *, created_at_us: int, comment: str = "", platform: str | None = None
) -> bytes:
    """The configuration of an image of one layer that came as a root file system.

    ``settings`` are Docker's ``Config`` keys (see ``apply_changes``), ``platform`` is ``os[/architecture[/variant]]``.
    """
    system, architecture = host_platform()
    variant = ""
    if platform:
        system, _, rest = platform.partition("/")
        named, _, variant = rest.partition("/")
        architecture = named or architecture
        check_platform(system)
    created = rfc3339(created_at_us)
    history = {"created": created, **({"comment": comment} if comment else {})}
    document = {
        "architecture": architecture, "os": system, "created": created, "config": dict(settings),
        "rootfs": {"type": "layers", "diff_ids": [diff_id]}, "history": [history],
        **({"variant": variant} if variant else {}),
    }  # fmt: skip
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def derived(
    base: Mapping[str, Any], settings: Mapping[str, Any], *, diff_ids: Sequence[str], created_at_us: int,
    history: Sequence[Mapping[str, Any]], author: str = "",
) -> bytes:  # fmt: skip
    """The configuration of an image made on another one: ``base`` with other settings and more layers on top.

    ``history`` has the new entries without their time; the last is marked as an empty layer where there is no new one.
    """
    created = rfc3339(created_at_us)
    entries = [{**entry, "created": created} for entry in history]
    if entries and not diff_ids:
        entries[-1]["empty_layer"] = True
    known = base["rootfs"]["diff_ids"]
    kept = {key: base[key] for key in ("architecture", "os", "variant", "os.version", "os.features") if base.get(key)}
    document = {
        **kept, "created": created, "config": dict(settings),
        "rootfs": {"type": "layers", "diff_ids": [*known, *diff_ids]},
        "history": [*(base.get("history") or [{"created": created} for _ in known]), *entries],
        **({"author": author} if author else {}),
    }  # fmt: skip
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def rfc3339(moment_us: int) -> str:
    """Microseconds since the epoch in the form that configurations have."""
    return datetime.fromtimestamp(moment_us / 1e6, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def check_platform(system: str) -> None:
    """Raises NotSupported for an operating system whose programs can't run here."""
    if system != "linux":
        raise NotSupported(f"operating system {system!r} is not supported: only linux images run here")


def parse(body: bytes) -> dict[str, Any]:
    """A checked configuration. Raises InvalidArgument, or NotSupported for another operating system."""
    document = parse_object(body, "image configuration")
    check_platform(document.get("os") or "linux")
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(rootfs, dict) or rootfs.get("type") != "layers" or not _is_strings(diff_ids or []):
        raise InvalidArgument("image configuration has no list of layers (rootfs.diff_ids)")
    rootfs["diff_ids"] = diff_ids = diff_ids or []
    if len(diff_ids) > LAYER_LIMIT:
        raise InvalidArgument(f"image has {len(diff_ids)} layers, the limit is {LAYER_LIMIT}")
    for diff_id in diff_ids:
        check_digest(diff_id)
    for key in ("architecture", "created", "author", "variant"):
        _check(document, key, _is_string, "image configuration")
    _check(document, "config", lambda value: isinstance(value, dict), "image configuration")
    _check_settings(document.get("config") or {})
    _check_history(document)
    return document


def _check_settings(settings: dict[str, Any]) -> None:
    for key, fits in _SETTINGS.items():
        _check(settings, key, fits, "image configuration's config")
    for pair in settings.get("Env") or []:
        if "\0" in pair or pair.startswith("="):
            raise InvalidArgument(f"image configuration's config has the invalid variable {pair[:100]!r}")


def _check_history(document: dict[str, Any]) -> None:
    _check(document, "history", lambda value: isinstance(value, list), "image configuration")
    for entry in document.get("history") or []:
        if not isinstance(entry, dict):
            raise InvalidArgument("image configuration's history is no list of objects")
        for key in ("created", "created_by", "author", "comment"):
            _check(entry, key, _is_string, "image configuration's history")
        _check(entry, "empty_layer", lambda value: isinstance(value, bool), "image configuration's history")


def _check(document: dict[str, Any], key: str, fits: Callable[[Any], bool], what: str) -> None:
    value = document.get(key)
    if value is not None and not fits(value):
        raise InvalidArgument(f"{what} has a {key!r} of the wrong type")


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_set(value: Any) -> bool:
    """Go's map[string]struct{}: an object whose values say nothing."""
    return isinstance(value, dict) and all(item is None or isinstance(item, dict) for item in value.values())


def _is_labels(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _is_healthcheck(value: Any) -> bool:
    if not isinstance(value, dict) or not _is_strings(value.get("Test") or []):
        return False
    numbers = (value.get(key) or 0 for key in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"))
    return all(isinstance(number, int) and number >= 0 for number in numbers)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_SETTINGS: Mapping[str, Callable[[Any], bool]] = {
    "User": _is_string, "WorkingDir": _is_string, "StopSignal": _is_string,
    "Env": _is_strings, "Cmd": _is_strings, "Entrypoint": _is_strings,
    "Shell": _is_strings, "OnBuild": _is_strings, "ExposedPorts": _is_set,
    "Volumes": _is_set, "Labels": _is_labels, "Healthcheck": _is_healthcheck,
    "StopTimeout": _is_count,
}  # fmt: skip
