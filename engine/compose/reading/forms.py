"""Short forms of a document to long ones, before documents are merged, so that merging knows one form of everything."""

from __future__ import annotations

import posixpath

from engine.compose.model.positions import Path, Positions, dotted
from engine.compose.model.shapes import text_of
from engine.compose.reading.mounts import parse_device, parse_volume
from engine.compose.reading.ports import parse_port
from engine.compose.reading.words import split_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Change = Callable[[Any], Any]

_SECTIONS = ("networks", "volumes", "secrets", "configs", "models")


class LongForms:
    """One document's values in long form. Raises ComposeError with the place of what can't be understood."""

    def __init__(self, positions: Positions, warn: Callable[[str], None], *, lenient: bool = False) -> None:
        """``lenient`` leaves values as they are whose variables are not filled in."""
        self._positions = positions
        self._warn = warn
        self._lenient = lenient

    def apply(self, document: dict[str, Any]) -> dict[str, Any]:
        found = dict(document)
        if "services" in found:
            services = found["services"] or {}
            found["services"] = {
                name: self.service(service or {}, ("services", name)) for name, service in services.items()
            }
        for section in _SECTIONS:
            if section in found:
                found[section] = {
                    name: self._resource(value or {}, (section, name)) for name, value in (found[section] or {}).items()
                }
        return found

    def service(self, service: dict[str, Any], path: Path) -> dict[str, Any]:
        found = {}
        for key, value in service.items():
            here = (*path, key)
            found[key] = self._changed(_SERVICE[key], value, here) if key in _SERVICE else value
        for key in ("command", "entrypoint"):
            if isinstance(value := found.get(key), str):
                found[key] = self._words(value, (*path, key))
        for key in ("post_start", "pre_stop"):
            found.update({key: self._hooks(found[key], (*path, key))} if key in found else {})
        if found.get("deploy"):
            found["deploy"] = _deploy(found["deploy"])
        if found.get("develop"):
            found["develop"] = self._develop(found["develop"], path)
        if isinstance(extends := found.get("extends"), str):
            found["extends"] = {"service": extends}
        return found

    def _changed(self, change: Change, value: Any, path: Path) -> Any:
        try:
            return change(value)
        except ValueError as error:
            if self._lenient and "$" in str(value):
                return value
            raise self._positions.error(path, str(error)) from error

    def _words(self, text: str, path: Path) -> list[str]:
        found = self._changed(split_words, text, path)
        words, rest = ([text], "") if isinstance(found, str) else found
        if rest:
            self._warn(f"{self._positions.describe(path)}{dotted(path)}: {rest!r} is dropped, as Docker Compose does: "
                       "no shell reads this text; write [sh, -c, ...]")  # fmt: skip
        return words

    def _hooks(self, hooks: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
        found = []
        for index, hook in enumerate(hooks):
            if hook.get("command") is None:
                raise self._positions.error((*path, index), "command is required")
            hook = _within(hook, environment=pairs)
            if isinstance(hook.get("command"), str):
                hook["command"] = self._words(hook["command"], (*path, index, "command"))
            found.append(hook)
        return found

    def _develop(self, develop: dict[str, Any], path: Path) -> dict[str, Any]:
        watches = [_within(watch, ignore=text_list, include=text_list) for watch in develop.get("watch") or ()]
        for index, watch in enumerate(watches):
            if watch.get("exec"):
                watch["exec"] = self._hooks([watch["exec"]], (*path, "develop", "watch", index, "exec"))[0]
        return {**develop, "watch": watches} if watches else develop

    def _resource(self, value: dict[str, Any], path: Path) -> dict[str, Any]:
        found = _within(value, labels=labels)
        external = found.get("external")
        if isinstance(external, dict):
            found["external"] = True
            if "name" in external:
                found["name"] = external["name"]
                self._warn(f"{self._positions.describe(path)}{dotted(path)}: external.name is deprecated: "
                           "set name and external: true")  # fmt: skip
        return found


def text_list(value: Any) -> list[Any]:
    """One value or a list of them."""
    return list(value) if isinstance(value, list) else [value]


def pairs(value: Any) -> dict[str, str | None]:
    """A mapping, or a list of ``NAME=VALUE`` and ``NAME``; a name alone has no value."""
    if isinstance(value, dict):
        return {key: None if item is None else text_of(item) for key, item in value.items()}
    found: dict[str, str | None] = {}
    for entry in value:
        name, has_value, text = text_of(entry).partition("=")
        found[name] = text if has_value else None
    return found


def labels(value: Any) -> dict[str, str]:
    """Pairs of which a name alone has the empty value."""
    return {key: item or "" for key, item in pairs(value).items()}


def _within(value: dict[str, Any], **changes: Change) -> dict[str, Any]:
    return {key: changes[key](item) if key in changes and item is not None else item for key, item in value.items()}


def _build(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"context": value}
    return _within(
        value, args=pairs, labels=labels, additional_contexts=labels, ssh=_ssh, secrets=_references,
        extra_hosts=_hosts, cache_from=text_list, cache_to=text_list, tags=text_list,
    )  # fmt: skip


def _ssh(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [name if path is None else f"{name}={path}" for name, path in value.items()]
    return text_list(value)


def _references(value: list[Any]) -> list[dict[str, Any]]:
    return [{"source": entry} if isinstance(entry, str) else entry for entry in value]


def _hosts(value: Any) -> dict[str, list[str]]:
    """Host -> its addresses."""
    found: dict[str, list[str]] = {}
    if isinstance(value, dict):
        for host, addresses in value.items():
            found[host] = [_unbracketed(address) for address in text_list(addresses)]
        return found
    for entry in value:
        host, has_address, address = entry.partition("=")
        if not has_address:
            host, has_address, address = entry.partition(":")
        if not has_address:
            raise ValueError(f"{entry!r}: an extra host is written HOST=ADDRESS")
        found.setdefault(host, []).append(_unbracketed(address))
    return found


def _unbracketed(address: str) -> str:
    return address[1:-1] if address.startswith("[") and address.endswith("]") else address


def _depends_on(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {name: {"condition": "service_started", "required": True} for name in value}
    return {name: {"required": True, **dependency} for name, dependency in value.items()}


def _env_files(value: Any) -> list[dict[str, Any]]:
    return [{"path": entry, "required": True} if isinstance(entry, str) else {"required": True, **entry}
            for entry in text_list(value)]  # fmt: skip


def _ports(value: list[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for entry in value:
        if isinstance(entry, dict):
            if entry.get("target") is None:
                raise ValueError("a port in the long form must have a target")
            long = {"mode": "ingress", "protocol": "tcp", **entry}
            found.append({**long, "published": text_of(long["published"])} if "published" in long else long)
        else:
            found += parse_port(text_of(entry))
    return found


def _volumes(value: list[Any]) -> list[dict[str, Any]]:
    found = []
    for entry in value:
        mount = parse_volume(entry) if isinstance(entry, str) else dict(entry)
        if not mount.get("target"):
            raise ValueError("a volume in the long form must have a target")
        mount["target"] = posixpath.normpath(mount["target"])
        if isinstance(mount.get("volume"), dict):
            mount["volume"] = _within(mount["volume"], labels=labels)
        found.append(mount)
    return found


def _devices(value: list[Any]) -> list[dict[str, Any]]:
    found = [parse_device(entry) if isinstance(entry, str) else entry for entry in value]
    if not all(entry.get("target") for entry in found):
        raise ValueError("a device in the long form must have a target")
    return found


def _healthcheck(value: dict[str, Any]) -> dict[str, Any]:
    test = value.get("test")
    return {**value, "test": ["CMD-SHELL", test]} if isinstance(test, str) else value


def _names(value: Any) -> dict[str, Any]:
    return dict.fromkeys(value) if isinstance(value, list) else value


def _provider(value: dict[str, Any]) -> dict[str, Any]:
    options = {key: text_list(item) for key, item in (value.get("options") or {}).items()}
    return {**value, "options": options} if options else value


def _gpus(value: Any) -> list[dict[str, Any]]:
    requests = [{}] if value == "all" else [_within(entry, options=labels) for entry in value]
    return [request if "device_ids" in request else {"count": "all", **request} for request in requests]


def _deploy(value: dict[str, Any]) -> dict[str, Any]:
    found = _within(value, labels=labels)
    reservations = (found.get("resources") or {}).get("reservations") or {}
    if reservations.get("devices"):
        reservations = {**reservations, "devices": _gpus(reservations["devices"])}
        found["resources"] = {**found["resources"], "reservations": reservations}
    return found


_SERVICE: dict[str, Change] = {
    "annotations": labels, "build": _build, "configs": _references, "depends_on": _depends_on, "devices": _devices,
    "dns": text_list, "dns_opt": text_list, "dns_search": text_list, "env_file": _env_files, "environment": pairs,
    "expose": lambda value: [text_of(entry) for entry in value], "extra_hosts": _hosts, "gpus": _gpus,
    "healthcheck": _healthcheck, "label_file": text_list, "labels": labels, "models": _names, "networks": _names,
    "ports": _ports, "provider": _provider, "secrets": _references, "storage_opt": labels, "sysctls": labels,
    "tmpfs": text_list, "volumes": _volumes,
}  # fmt: skip
