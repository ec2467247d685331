"""The operator's settings: a JSON file with Docker's keys, where Docker has them.

    {"registry-mirrors": ["https://mirror.example"], "insecure-registries": ["host:5000", "10.0.0.0/8"],
     "max-concurrent-downloads": 3, "max-concurrent-uploads": 5,
     "search-index": "https://index.docker.io", "certificate-folders": ["/etc/docket/certs.d"],
     "archive-limits": {"bytes": 274877906944, "entries": 1000000, "ratio": 200},
     "hosts": ["unix:///run/docket/docket.sock", "tcp://0.0.0.0:2376"], "tlsverify": true,
     "tlscacert": "/etc/docket/ca.pem", "tlscert": "/etc/docket/cert.pem", "tlskey": "/etc/docket/key.pem",
     "runtimes": {"name": {"path": "/usr/local/bin/crun", "runtimeArgs": ["--debug"]}}, "default-runtime": "name",
     "runtime-roots": ["/run/docket-runtime"]}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple

from engine.domain.errors import InvalidArgument
from engine.images.limits import Limits
from engine.images.registry.settings import RegistrySettings, checked
from engine.services import network_settings
from engine.services.network_settings import NetworkSettings
from engine.services.runtimes import Runtimes, parse_runtimes


SETTING_FLAGS: tuple[tuple[str, str, type], ...] = (
    ("host", "hosts", str),
    ("tls", "tls", bool),
    ("tlsverify", "tlsverify", bool),
    ("tlscacert", "tlscacert", Path),
    ("tlscert", "tlscert", Path),
    ("tlskey", "tlskey", Path),
    ("registry-mirror", "registry-mirrors", str),
    ("insecure-registry", "insecure-registries", str),
    ("max-concurrent-downloads", "max-concurrent-downloads", int),
    ("max-concurrent-uploads", "max-concurrent-uploads", int),
)
"""Flag, setting, type: those of Docker's daemon. Flags with text may be given several times."""


class Listening(NamedTuple):
    """Where the engine listens (nowhere named: on its own socket), and the certificates of TLS."""

    hosts: tuple[str, ...] = ()
    tls: bool = False
    tlsverify: bool = False
    tlscacert: str = ""
    tlscert: str = ""
    tlskey: str = ""


class Settings(NamedTuple):
    """``archive_limits`` are those of images.limits, as workers get them. ``runtime_roots`` are those of docket-runtime
    whose journals are taken into the log (None: the usual one, by the engine in the usual place)."""

    registries: RegistrySettings = RegistrySettings()
    archive_limits: dict[str, int] | None = None
    listening: Listening = Listening()
    network: NetworkSettings = NetworkSettings()
    runtimes: Runtimes = Runtimes()
    runtime_roots: tuple[str, ...] | None = None


def read(path: Path, *, must_exist: bool = False, flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings in a file (which needs not exist, where so said) and those that the daemon was started with, by the
    same keys. Raises InvalidArgument, also for what is said in both places, as Docker does."""
    given = {key: value for key, value in (flags or {}).items() if value not in (None, []) and value is not False}
    values = _values(path, must_exist)
    if both := sorted(given.keys() & values.keys()):
        raise InvalidArgument(f"{path}: {', '.join(both)} is said by a flag as well: take it out of one of the two")
    try:
        parse(values)
    except InvalidArgument as error:
        raise InvalidArgument(f"{path}: {error}") from error
    return parse({**values, **given})


def _values(path: Path, must_exist: bool) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if must_exist:
            raise InvalidArgument(f"{path}: no such file") from error
        return {}
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{path}: no valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise InvalidArgument(f"{path}: a JSON object is expected")
    return values


def parse(values: Mapping[str, Any]) -> Settings:
    """Raises InvalidArgument for what is unknown, or of the wrong type: a setting must not be overlooked."""
    fields: dict[str, Any] = {}
    listening: dict[str, Any] = {}
    network: dict[str, Any] = {}
    limits = None
    for key, value in values.items():
        if key == "archive-limits":
            if not isinstance(value, dict):
                raise InvalidArgument(f'"{key}" must be an object')
            Limits.from_json(value)
            limits = value
            continue
        if key in _LISTENING_KEYS:
            listening[key] = _LISTENING_KEYS[key](key, value)
            continue
        if key in _RUNTIME_KEYS:
            continue  # they belong together, or need nothing
        if key in network_settings.KEYS:
            network[key] = value
            continue
        if key not in _REGISTRY_KEYS:
            others = ("archive-limits", *_RUNTIME_KEYS)
            known = ", ".join([*_REGISTRY_KEYS, *_LISTENING_KEYS, *network_settings.KEYS, *others])
            raise InvalidArgument(f'there is no setting "{key}": known are {known}')
        name, convert = _REGISTRY_KEYS[key]
        fields[name] = convert(key, value)
    return Settings(
        checked(RegistrySettings(**fields)), limits, Listening(**listening), network_settings.parse(network),
        parse_runtimes(values.get("runtimes"), values.get("default-runtime")), _roots(values.get("runtime-roots")),
    )  # fmt: skip


def _roots(value: Any) -> tuple[str, ...] | None:
    """Of docket-runtime."""
    if value is None:
        return None
    roots = _texts("runtime-roots", value)
    if wrong := [root for root in roots if not root.startswith("/")]:
        raise InvalidArgument(f'"runtime-roots": {wrong[0]} is not an absolute path')
    return roots


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise InvalidArgument(f'"{key}" must be a list of strings')
    return tuple(value)


def _paths(key: str, value: Any) -> tuple[Path, ...]:
    return tuple(map(Path, _texts(key, value)))


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidArgument(f'"{key}" must be a string')
    return value


def _truth(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidArgument(f'"{key}" must be true or false')
    return value


def _count(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidArgument(f'"{key}" must be a positive number')
    return value


_RUNTIME_KEYS = ("runtimes", "default-runtime", "runtime-roots")
_REGISTRY_KEYS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "registry-mirrors": ("mirrors", _texts),
    "insecure-registries": ("insecure", _texts),
    "search-index": ("search_index", _text),
    "certificate-folders": ("certificate_folders", _paths),
    "max-concurrent-downloads": ("downloads", _count),
    "max-concurrent-uploads": ("uploads", _count),
}
_LISTENING_KEYS: dict[str, Callable[[str, Any], Any]] = {
    "hosts": _texts, "tls": _truth, "tlsverify": _truth, "tlscacert": _text, "tlscert": _text, "tlskey": _text,
}  # fmt: skip
