"""The filters of the list of containers."""

from __future__ import annotations

from typing import Any

from engine.api.filters import Filters
from engine.api.views import containers as views
from engine.api.views.networks import network_id
from engine.domain.errors import InvalidArgument, NotFound

NAMES = frozenset(
    {"ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task", "label", "name", "network",
     "publish", "since", "status", "volume"}
)  # fmt: skip

_STATUSES = ("created", "dead", "exited", "paused", "removing", "restarting", "running")
_HEALTH = ("starting", "healthy", "unhealthy", "none")


class ContainerFilter:
    """Filters bound to what they refer to: images and containers are looked up once, not for every container."""

    def __init__(self, services: Any, filters: Filters) -> None:
        self._filters = filters
        for name, known in (("status", _STATUSES), ("health", _HEALTH)):
            for value in filters.get(name):
                if value not in known:
                    raise InvalidArgument(f"invalid filter '{name}={value}'")
        self._exit_codes = [_exit_code(value) for value in filters.get("exited")]
        self._ancestors = {_image_id(services, value) for value in filters.get("ancestor")}
        self._before = [services.containers.get(value).state for value in filters.get("before")]
        self._since = [services.containers.get(value).state for value in filters.get("since")]
        self._published, self._exposed = (
            [_ports(name, value) for value in filters.get(name)] for name in ("publish", "expose")
        )
        self._is_task = filters.boolean("is-task")

    @property
    def wants_stopped(self) -> bool:
        """Docker's list shows stopped containers without being told to where a status is asked for."""
        return "status" in self._filters

    def allows(self, view: Any) -> bool:
        state, filters = view.state, self._filters
        return (
            filters.allows("status", state.public_status)
            and filters.allows("health", views.health_of(state))
            and not self._is_task
            and filters.allows_labels(state.labels)
            and filters.allows_name(state.name, "/" + state.name)
            and ("id" not in filters or any(state.id.startswith(value) for value in filters.get("id")))
            and (not self._exit_codes or (_has_exited(state) and state.exit_code in self._exit_codes))
            and ("ancestor" not in filters or state.image_id in self._ancestors)
            and all(_order(state) < _order(other) for other in self._before)
            and all(_order(state) > _order(other) for other in self._since)
            and self._allows_network(view)
            and self._allows_volume(view)
            and self._allows_ports(view)
        )

    def _allows_network(self, view: Any) -> bool:
        names = list(views.networks(view))
        ids = [network.id for _, network in view.endpoints] or list(map(network_id, names))
        return self._filters.allows("network", *names, *ids)

    def _allows_volume(self, view: Any) -> bool:
        places = [mount.get(key) for mount in view.mounts for key in ("Name", "Source", "Destination")]
        return self._filters.allows("volume", *filter(None, places))

    def _allows_ports(self, view: Any) -> bool:
        if not self._published and not self._exposed:
            return True
        ports = views.ports(view)
        published = [
            f"{place['HostPort']}/{name.partition('/')[2]}" for name, places in ports.items() for place in places or ()
        ]
        return (not self._published or any(_is_among(port, self._published) for port in published)) and (
            not self._exposed or any(_is_among(port, self._exposed) for port in ports)
        )


def _order(state: Any) -> tuple[int, str]:
    return state.created_at_us, state.id


def _has_exited(state: Any) -> bool:
    return not state.alive and bool(state.started_at_us)


def _exit_code(value: str) -> int:
    try:
        return int(value)
    except ValueError as error:
        raise InvalidArgument(f"invalid filter 'exited={value}'") from error


def _image_id(services: Any, reference: str) -> str:
    try:
        return services.images.get(reference).state.id
    except NotFound:
        return ""  # Docker, too, answers with an empty list


def _ports(name: str, wanted: str) -> tuple[range, str]:
    """``wanted`` is a port or a range, with or without a protocol: 80, 80/tcp, 8000-8080/udp."""
    numbers, _, protocol = wanted.partition("/")
    first, dash, last = numbers.partition("-")
    try:
        return range(int(first), int(last if dash else first) + 1), protocol or "tcp"
    except ValueError as error:
        raise InvalidArgument(f"invalid filter '{name}={wanted}'") from error


def _is_among(port: str, wanted: list[tuple[range, str]]) -> bool:
    number, _, protocol = port.partition("/")
    kind = protocol or "tcp"
    return number.isdecimal() and any(int(number) in numbers and kind == asked for numbers, asked in wanted)
