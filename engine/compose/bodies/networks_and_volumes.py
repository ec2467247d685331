"""Bodies of POST /networks/create and POST /volumes/create."""

from __future__ import annotations

from engine.compose import labels
from engine.compose.bodies.container import without_silence
from engine.compose.project import Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    Json = dict[str, Any]


def network_body(project: Project, key: str, network: Mapping[str, Any], config_hash: str, version: str) -> Json:
    """``network`` is the model's; its name is settled."""
    own = {
        labels.PROJECT: project.name, labels.NETWORK: key, labels.CONFIG_HASH: config_hash, labels.VERSION: version,
    }  # fmt: skip
    body = without_silence({
        "Name": network["name"],
        "Driver": network.get("driver"),
        "Options": _texts(network.get("driver_opts")),
        "Internal": bool(network.get("internal")),
        "Attachable": bool(network.get("attachable")),
        "IPAM": _ipam(network.get("ipam") or {}),
        "Labels": {**(network.get("labels") or {}), **own},
    })  # fmt: skip
    for field, key_ in (("EnableIPv4", "enable_ipv4"), ("EnableIPv6", "enable_ipv6")):
        if network.get(key_) is not None:
            body[field] = bool(network[key_])
    return body


def _texts(given: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (given or {}).items()}


def _ipam(given: Mapping[str, Any]) -> Json:
    pools = {"Subnet": "subnet", "IPRange": "ip_range", "Gateway": "gateway", "AuxiliaryAddresses": "aux_addresses"}
    config = [
        without_silence({field: pool.get(key) for field, key in pools.items()}) for pool in given.get("config") or ()
    ]
    return without_silence({"Driver": given.get("driver"), "Config": config, "Options": _texts(given.get("options"))})


def volume_body(project: Project, key: str, volume: Mapping[str, Any], config_hash: str, version: str) -> Json:
    """``volume`` is the model's; its name is settled."""
    own = {
        labels.PROJECT: project.name, labels.VOLUME: key, labels.CONFIG_HASH: config_hash, labels.VERSION: version,
    }  # fmt: skip
    return without_silence({
        "Name": volume["name"],
        "Driver": volume.get("driver"),
        "DriverOpts": _texts(volume.get("driver_opts")),
        "Labels": {**(volume.get("labels") or {}), **own},
    })  # fmt: skip
