"""Options of the local volume driver: what is mounted for a volume in the place of its folder.

The mount is made in the container alone, so that none is left on the host, whatever happens to engine and container.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any, Mapping

from engine.domain.errors import EngineError, InvalidArgument

KNOWN = ("type", "device", "o")
_OWN_EACH = ("tmpfs", "ramfs")
"""File systems of which every mount is a new one."""
_OF_THE_NETWORK = ("nfs", "nfs4", "cifs", "smb3")
_ADDRESS = "addr="


def check(options: Mapping[str, str]) -> dict[str, str]:
    """Raises InvalidArgument with Docker's wording."""
    for name, value in options.items():
        if name not in KNOWN:
            raise InvalidArgument(f'invalid option: "{name}": the local driver knows type, device and o')
        if not isinstance(value, str) or "\0" in value:
            raise InvalidArgument(f'invalid value of option "{name}"')
    if options and not options.get("device"):
        raise InvalidArgument('missing required option: "device"')
    if options and not options.get("type"):
        raise InvalidArgument('missing required option: "type"')
    return dict(options)


def is_bind(options: Mapping[str, str]) -> bool:
    """Whether ``device`` is a folder of the host."""
    return bool({"bind", "rbind"} & set(options.get("o", "").split(",")))


def is_private(options: Mapping[str, str]) -> bool:
    """Whether two containers that mount it at the same time would each see something else."""
    return options.get("type") in _OWN_EACH


def resolved(name: str, options: Mapping[str, str]) -> dict[str, str]:
    """With an address in the place of a host's name in ``addr=``, since the kernel resolves none: looked up anew with
    each start. ``name`` is the volume's. Raises EngineError."""
    if options.get("type") not in _OF_THE_NETWORK:
        return dict(options)
    words = options.get("o", "").split(",")
    return {**options, "o": ",".join(
        _ADDRESS + _address(name, word.removeprefix(_ADDRESS)) if word.startswith(_ADDRESS) else word for word in words
    )}  # fmt: skip


def _address(volume: str, host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        pass  # a name
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no name of a host"
        raise EngineError(f"volume {volume}: the server in addr={host} can't be found: {reason}") from error
    addresses = [str(where[0]) for _, _, _, _, where in found]
    return next((one for one in addresses if ":" not in one), addresses[0])


def mount_of(options: Mapping[str, str], destination: str, access: str) -> dict[str, Any]:
    """The entry of the specification's ``mounts``."""
    words = [word for word in options.get("o", "").split(",") if word]
    if is_bind(options):
        return {
            "destination": destination, "type": "bind", "source": options["device"],
            "options": ["rbind", "rprivate", *(word for word in words if word not in ("bind", "rbind")), access],
        }  # fmt: skip
    return {
        "destination": destination, "type": options["type"], "source": options["device"], "options": [*words, access],
    }  # fmt: skip
