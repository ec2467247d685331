"""Which doors the settings name, and their opening: all or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Sequence
from urllib.parse import urlsplit

from engine.api.doors import Door, UnixDoor
from engine.domain.errors import InvalidArgument

DEFAULT_TLS_PORT = 2376


def plan_doors(listening: Any, default: str) -> list[Callable[[], Door]]:
    """How the doors are opened that the settings (services.settings.Listening) name, else the default one.

    Raises InvalidArgument for hosts that can't be listened on as the settings say."""
    return [_plan(host, listening) for host in listening.hosts or (default,)]


def open_all(plans: Sequence[Callable[[], Door]]) -> list[Door]:
    """All or none. Raises Conflict, OSError."""
    doors: list[Door] = []
    try:
        for plan in plans:
            doors.append(plan())
    except BaseException:
        for door in doors:
            door.close()
            door.listener.close()
        raise
    return doors


def _plan(host: str, listening: Any) -> Callable[[], Door]:
    scheme, _, rest = host.partition("://")
    if scheme == "unix" and rest.startswith("/"):
        return lambda: UnixDoor(Path(rest))
    if scheme != "tcp":
        raise InvalidArgument(f'can\'t listen on "{host}": use unix:///absolute/path.sock or tcp://HOST:PORT')
    try:
        place = urlsplit(host)
        node, port = place.hostname or "", DEFAULT_TLS_PORT if place.port is None else place.port
    except ValueError as error:
        raise InvalidArgument(f'can\'t listen on "{host}": {error}') from error
    missing = [name for name in ("tlsverify", "tlscacert", "tlscert", "tlskey") if not getattr(listening, name)]
    if missing:
        raise InvalidArgument(
            f"won't listen on {host} without client certificates, since whoever gets in is root here: "
            f"{', '.join(f'--{name}' for name in missing)} {'is' if len(missing) == 1 else 'are'} missing"
        )
    from engine.api.tls import Certificates, Keys, TLSDoor  # ssl takes memory that most daemons have no use for

    certificates = Certificates(Path(listening.tlscacert), Path(listening.tlscert), Path(listening.tlskey))
    keys = Keys(certificates)
    return lambda: TLSDoor(node, port, keys)
