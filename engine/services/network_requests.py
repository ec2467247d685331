"""Docker's ``POST /networks/create``, checked as far as that needs neither log nor host."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Any, Mapping

from engine.domain.errors import Forbidden, InvalidArgument, NotFound, NotSupported
from engine.services import request_shapes

DEFAULT = "bridge"
PREDEFINED = (DEFAULT, "host", "none")
USER_MODES = ("pasta", "slirp4netns")
"""Programs that give a network namespace of an ordinary user's a way out (see runtime.user_network)."""
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_INTERFACE = re.compile(r"[a-zA-Z0-9_.-]{1,15}")
"""IFNAMSIZ, and no name that a path in /proc/sys could take for another one."""
_NO_INTERFACES = (".", "..", "all", "default", "lo")
_OPTION = "com.docker.network."
_FLAGS = {
    f"{_OPTION}bridge.enable_icc": "neighbours",
    f"{_OPTION}bridge.enable_ip_masquerade": "masquerade",
}


def check(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name, and what the options say of the network (fields of NetworkCreated). Raises InvalidArgument, Forbidden,
    NotFound for a driver that isn't there, NotSupported."""
    request_shapes.check(body, request_shapes.NETWORK)
    name, driver = body.get("Name") or "", body.get("Driver") or "bridge"
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"invalid network name {name!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed")
    if name in (*PREDEFINED, *USER_MODES, "default"):
        raise Forbidden(f"operation is not permitted on predefined {name} network")
    if driver != "bridge":
        raise NotFound(f'could not find plugin {driver} in v1 plugin registry: only the driver "bridge" is there')
    _refuse_unsupported(body)
    return name, options(dict(body.get("Options") or {}))


def _refuse_unsupported(body: Mapping[str, Any]) -> None:
    for key in ("Ingress", "ConfigOnly", "ConfigFrom"):
        if body.get(key) not in (None, False, {}, {"Network": ""}):
            raise NotSupported(f"{key} needs a swarm or a configuration network, which this engine has not")
    if body.get("Scope") not in (None, "", "local"):
        raise NotSupported(f"scope {body['Scope']!r} needs a swarm, which this engine has not")
    if body.get("EnableIPv4") is False:
        raise NotSupported("networks without IPv4 are not supported")
    ipam = body.get("IPAM") or {}
    if (ipam.get("Driver") or "default") != "default" or ipam.get("Options"):
        raise NotSupported("only the default IPAM driver is there, and it has no options")


def options(given: Mapping[str, str]) -> dict[str, Any]:
    """The driver's options as fields of NetworkCreated."""
    facts: dict[str, Any] = {}
    for key, value in given.items():
        if key == f"{_OPTION}bridge.name":
            facts["bridge"] = interface_name(value)
        elif key == f"{_OPTION}driver.mtu":
            facts["mtu"] = mtu(value)
        elif key == f"{_OPTION}bridge.host_binding_ipv4":
            facts["host_address"] = ipv4_address(value)
        elif key in _FLAGS:
            if value not in ("true", "false"):
                raise InvalidArgument(f"option {key} must be true or false, not {value!r}")
            facts[_FLAGS[key]] = value == "true"
        else:
            raise NotSupported(f"network option {key!r} is not supported by this version of docket")
    return facts


def interface_name(text: str) -> str:
    """Raises InvalidArgument."""
    if not _INTERFACE.fullmatch(text) or text in _NO_INTERFACES:
        raise InvalidArgument(f"invalid name of an interface: {text!r} (at most 15 letters, digits, '_', '.' and '-')")
    return text


def mtu(text: str) -> int:
    """Bytes. Raises InvalidArgument."""
    if not (text.isascii() and text.isdecimal()) or not 68 <= int(text) <= 65535:
        raise InvalidArgument(f"invalid MTU {text!r}")
    return int(text)


def ipv4_address(text: str) -> str:
    """Raises InvalidArgument."""
    try:
        return str(IPv4Address(text))
    except ValueError as error:
        raise InvalidArgument(f"invalid IPv4 address {text!r}: {error}") from error
