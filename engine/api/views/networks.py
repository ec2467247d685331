"""The predefined networks ``none`` and ``host``: the two that need no bridge."""

from __future__ import annotations

import hashlib
from typing import Any, Iterable

from engine.api.times import ZERO

DRIVERS = {"none": "null", "host": "host"}


def network_id(name: str) -> str:
    """The id of a predefined network: derived from its name, so that it is the same for ever."""
    return hashlib.sha256(f"docket predefined network {name}".encode()).hexdigest() if name in DRIVERS else ""


def inspect(name: str, attached: Iterable[Any] = ()) -> dict[str, Any]:
    """A network. ``attached`` are the views of the running containers on it."""
    return {
        "Name": name,
        "Id": network_id(name),
        "Created": ZERO,
        "Scope": "local",
        "Driver": DRIVERS[name],
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {
            view.state.id: {
                "Name": view.state.name,
                "EndpointID": "",
                "MacAddress": "",
                "IPv4Address": "",
                "IPv6Address": "",
            }
            for view in attached
        },
        "Options": {},
        "Labels": {},
    }
