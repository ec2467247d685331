"""Hashes by which Docker Compose tells whether a network or volume changed, byte for byte, so that neither tool takes
what the other one made for something else.

They are SHA-256 over Go's JSON of the canonical form: fields in the order of compose-go's structures (types.go), what
is empty left out, keys of mappings sorted.
"""

from __future__ import annotations

from engine.client import jsontext
from engine.compose.digests import digest
from engine.compose.hashes import config_hash
from engine.compose.running.desired import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

_NETWORK_FIELDS = (
    "name", "driver", "driver_opts", "ipam", "external", "internal", "attachable", "labels", "enable_ipv4",
    "enable_ipv6",
)  # fmt: skip
_VOLUME_FIELDS = ("name", "driver", "driver_opts", "external", "labels")
_IPAM_FIELDS, _POOL_FIELDS = ("driver", "config"), ("subnet", "gateway", "ip_range", "aux_addresses")


def network_hash(network: Mapping[str, Any]) -> str:
    ipam = network.get("ipam")
    if ipam and ipam.get("config"):
        ipam = {**ipam, "config": [_in_order(pool, _POOL_FIELDS) for pool in ipam["config"]]}
    found = _in_order({**network, "ipam": _Kept(_in_order(ipam or {}, _IPAM_FIELDS))}, _NETWORK_FIELDS)
    return _digest(found)


class _Kept(dict[str, "Any"]):
    """A structure, which Go writes even where it is empty, and whose fields have their order."""


def volume_hash(volume: Mapping[str, Any]) -> str:
    return _digest(_in_order({**volume, "driver": volume.get("driver") or "local"}, _VOLUME_FIELDS))


def _in_order(given: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The fields that are set, in their order; the specification's extensions come last."""
    extensions = sorted(key for key in given if key.startswith("x-"))
    found = {}
    for key in (*fields, *extensions):
        value = given.get(key)
        if isinstance(value, _Kept) or not _is_empty(key, value):
            is_map = isinstance(value, dict) and not isinstance(value, _Kept)
            found[key] = dict(sorted(value.items())) if is_map else value
    return found


def _is_empty(key: str, value: Any) -> bool:
    """A pointer (``enable_*``) is written wherever it is set."""
    return value in (None, "", [], {}) or (value is False and not key.startswith("enable_"))


def _digest(value: Any) -> str:
    text = jsontext.encode(value, ascii_only=False)
    for mark, escaped in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
        text = text.replace(mark, escaped)
    return digest(text)


def service_hash(service: Service, containers: Mapping[str, str]) -> str:
    """A service's, without the image's name where only the build gives it one, and with the ids of the containers whose
    namespaces and volumes it shares (``containers`` are ids by service)."""
    config = {key: value for key, value in service.config.items() if key != "image" or service.names_its_image}
    for key in ("network_mode", "ipc", "pid"):
        name = str(config.get(key) or "")
        if name.startswith("service:") and name.removeprefix("service:") in containers:
            config[key] = f"container:{containers[name.removeprefix('service:')]}"
    if config.get("volumes_from"):
        config["volumes_from"] = [_volumes_from(text, containers) for text in config["volumes_from"]]
    return config_hash(config)


def _volumes_from(text: str, containers: Mapping[str, str]) -> str:
    if text.startswith("container:"):
        return text.removeprefix("container:")
    return containers.get(text.partition(":")[0], text)
