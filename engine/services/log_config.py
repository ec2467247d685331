"""Where a container's output is kept: drivers and options of Docker's ``LogConfig``, checked and read.

Logs are bounded unless the user says otherwise (``max-size=-1``): five files of 20 MB.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Mapping

from engine.domain.container import Container
from engine.domain.errors import InvalidArgument, NotSupported

DRIVERS = ("json-file", "local", "none")

_DEFAULT_BYTES = 20_000_000
_DEFAULT_FILES = 5
_UNITS = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([bkmgt]?)b?", re.IGNORECASE)
_ATTRIBUTES = ("labels", "labels-regex", "env", "env-regex")
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
"""What Docker takes for one."""
_MODES = ("blocking", "non-blocking")
_BUFFER_BYTES = 1_000_000
"""Docker's default."""
_FIELD = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_TAG_FIELDS: Mapping[str, Callable[[Container, Mapping[str, Any]], str]] = {
    ".ID": lambda container, config: container.id[:12],
    ".FullID": lambda container, config: container.id,
    ".Name": lambda container, config: container.name,
    ".ImageID": lambda container, config: container.image_id.removeprefix("sha256:")[:12],
    ".ImageFullID": lambda container, config: container.image_id,
    ".ImageName": lambda container, config: container.image,
    ".Command": lambda container, config: " ".join(container.command),
    ".Hostname": lambda container, config: config["Hostname"] or container.id[:12],
    ".DaemonName": lambda container, config: "docket",
}
"""What a tag may be made of: Docker's fields."""


def check(host: dict[str, Any]) -> None:
    """Complete ``LogConfig`` in place. Raises InvalidArgument and NotSupported, naming the option."""
    given = host.get("LogConfig") or {}
    if not isinstance(given, dict) or not isinstance(given.get("Config") or {}, dict):
        raise InvalidArgument("LogConfig must be an object, and its Config another")
    driver, options = given.get("Type") or "json-file", dict(given.get("Config") or {})
    if driver not in DRIVERS:
        raise NotSupported(
            f"log driver {driver!r} is not supported by this version of docket yet: use {', '.join(DRIVERS)}"
        )
    if options.get("max-buffer-size") and options.get("mode") != "non-blocking":
        raise InvalidArgument("log opt max-buffer-size is only used with mode=non-blocking")
    if driver == "none" and options:
        raise InvalidArgument(f"unknown log opt '{min(options)}' for none log driver")
    for name, value in options.items():
        if not isinstance(value, str):
            raise InvalidArgument(f"log opt '{name}' must be a string")
        _check_option(driver, name, value)
    if _BOOLEANS[options.get("compress", "false")] and (options.get("max-file") == "1" or not _max_bytes(options)):
        raise InvalidArgument("compress cannot be true when max-file is less than 2 or max-size is not set")
    host["LogConfig"] = {"Type": driver, "Config": options}


def _check_option(driver: str, name: str, value: str) -> None:
    if name == "max-size":
        _size_bytes(value)
    elif name == "max-file":
        if not value.isdecimal() or int(value) < 1:
            raise InvalidArgument(f"invalid value for max-file: {value!r}: a number from 1 on is expected")
    elif name == "tag" and driver == "json-file":
        _check_tag(value)
    elif name in ("labels-regex", "env-regex") and driver == "json-file":
        _pattern(value)
    elif name == "mode":
        if value not in _MODES:
            raise InvalidArgument(f"logging mode {value!r} is invalid: use {' or '.join(_MODES)}")
    elif name == "max-buffer-size":
        _size_bytes(value, name)
    elif name == "compress":
        if value not in _BOOLEANS:
            raise InvalidArgument(f"invalid value for compress: {value!r}: true or false is expected")
    elif not (name in _ATTRIBUTES and driver == "json-file"):
        raise InvalidArgument(f"unknown log opt '{name}' for {driver} log driver")


def _size_bytes(text: str, name: str = "max-size") -> int:
    """"10m" -> 10_000_000; of max-size "-1" (unbounded) -> 0."""
    if text == "-1" and name == "max-size":
        return 0
    match = _SIZE.fullmatch(text)
    size = int(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if not size:
        unbounded = ", or -1 for no bound" if name == "max-size" else ""
        raise InvalidArgument(f"invalid value for {name}: {text!r}: use 10m, 1g{unbounded}")
    return size


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise InvalidArgument(f"invalid regular expression {text!r} in a log opt: {error}") from error


def _check_tag(template: str) -> None:
    for field in _FIELD.findall(template):
        if field not in _TAG_FIELDS:
            known = ", ".join(f"{{{{{name}}}}}" for name in _TAG_FIELDS)
            raise InvalidArgument(f"log opt tag: there is no {{{{{field}}}}}: use {known}")


def _tag(template: str, container: Container, config: Mapping[str, Any]) -> str:
    return _FIELD.sub(lambda match: _TAG_FIELDS[match[1]](container, config), template)


def settings(
    host: Mapping[str, Any], config: Mapping[str, Any], path: Path, container: Container
) -> dict[str, Any] | None:
    """What the shim gets: path, bounds, and the attributes of every line; None where nothing is kept."""
    log = host["LogConfig"]
    if log["Type"] == "none":
        return None
    options = log["Config"]
    tag = {"tag": _tag(options["tag"], container, config)} if options.get("tag") else {}
    return {
        "path": str(path),
        "max_bytes": _max_bytes(options),
        "max_files": int(options.get("max-file") or _DEFAULT_FILES),
        "compress": _BOOLEANS[options.get("compress", "true" if log["Type"] == "local" else "false")],
        "buffer_bytes": _buffer_bytes(options),
        "attributes": {**_attributes(options, config), **tag},
    }


def _max_bytes(options: Mapping[str, str]) -> int:
    """0: without bounds."""
    return _size_bytes(options["max-size"]) if "max-size" in options else _DEFAULT_BYTES


def _buffer_bytes(options: Mapping[str, str]) -> int:
    """What may wait to be written in the mode "non-blocking"; 0 in the other one."""
    if options.get("mode") != "non-blocking":
        return 0
    size = options.get("max-buffer-size")
    return _size_bytes(size, "max-buffer-size") if size else _BUFFER_BYTES


def _attributes(options: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """The labels and variables that the user wants to see with each line (``docket logs --details``)."""
    labels = _chosen(options.get("labels"), options.get("labels-regex"))
    variables = _chosen(options.get("env"), options.get("env-regex"))
    found = {name: value for name, value in config["Labels"].items() if labels(name)}
    for entry in config["Env"]:
        name, _, value = entry.partition("=")
        if variables(name):
            found[name] = value
    return found


def _chosen(names: str | None, pattern: str | None) -> Callable[[str], bool]:
    listed = {name.strip() for name in (names or "").split(",")} - {""}
    matching = _pattern(pattern) if pattern else None
    return lambda name: name in listed or matching is not None and matching.search(name) is not None
