"""The plan of ``up``, ``create`` and ``start``: from what there is to what there should be.

A container is kept where it is still what its service asks for, made anew where it is not, and started when what it
needs is there. What a command that was cut off has left (a container under a name in between) is settled first.
"""

from __future__ import annotations

from engine.compose import labels
from engine.compose.project import ComposeError
from engine.compose.records import Record
from engine.compose.running import comparison, names
from engine.compose.running.actual import Actual, Container
from engine.compose.running.dependencies import COMPLETED, HEALTHY, STARTED, Dependency
from engine.compose.running.desired import Desired, Service
from engine.compose.running.plan import (
    CONTAINER, CREATE, DISCONNECT, NETWORK, RECREATE, REMOVE, RENAME, START, STOP, UNPAUSE, WAIT, Action, Draft, Plan,
    key_of,
)  # fmt: skip
from engine.compose.running.plan_down import add_orphans
from engine.compose.running.plan_resources import add_networks, add_volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping

    Hash = Callable[[Service, Mapping[str, str]], str]
    """Of a service, with the ids of the containers that it shares something with, by service."""


class UpOptions(Record):
    """``timeout_s`` None: the containers' own grace periods. ``make`` false: containers stay what they are, and only
    start. ``guest`` is a service that ``run`` makes a container of: what that needs is there at the end."""

    force_recreate: bool = False
    no_recreate: bool = False
    always_recreate_deps: bool = False
    start: bool = True
    make: bool = True
    renew_anonymous: bool = False
    remove_orphans: bool = False
    timeout_s: int | None = None
    guest: str = ""


def plan_up(
    desired: Desired, actual: Actual, images: Mapping[str, str], options: UpOptions, config_hash: Hash
) -> Plan:
    """``images`` are the ids of those that are there. Raises ComposeError for what can't be."""
    return _Up(desired, actual, images, options, config_hash).plan()


class _Up:
    def __init__(
        self, desired: Desired, actual: Actual, images: Mapping[str, str], options: UpOptions, config_hash: Hash
    ) -> None:
        self._desired = desired
        self._actual = actual
        self._images = images
        self._options = options
        self._hash = config_hash
        self._draft = Draft()
        self._changed_networks: frozenset[str] = frozenset()
        self._made: dict[str, list[str]] = {}  # service -> keys of the actions that make its containers
        self._to_start: dict[str, list[tuple[str, Container | None]]] = {}  # service -> containers that will be started
        self._kept: dict[str, list[Container]] = {}
        self._left_over: list[Container] = []

    def plan(self) -> Plan:
        self._settle()
        selected = self._with_users_of_changed_networks() if self._options.make else self._desired.selected
        for name in selected:
            if self._options.make:
                self._make(self._desired.services[name])
            else:
                self._keep(self._desired.services[name])
        for name in self._desired.services:
            self._stop_those_that_restart_with(name, selected)
        if self._options.start:
            for name in self._desired.services:
                self._start(self._desired.services[name])
        if self._options.guest:
            self._conditions(self._desired.services[self._options.guest])
        if self._options.make:
            add_orphans(
                self._draft, self._desired.project, self._actual, remove=self._options.remove_orphans,
                timeout_s=self._options.timeout_s,
            )  # fmt: skip
        return self._draft.finished()

    # --- what a command that was cut off has left --------------------------------------------------------------------

    def _settle(self) -> None:
        taken = {one.name for one in self._actual.containers}
        kept = []
        for one in self._actual.containers:
            if not one.interrupted:
                kept.append(one)
            elif one.replaces in taken:
                why = ("a command was cut off before it could take the place of " + one.replaces,)
                self._left_over.append(one)
                self._draft.add(Action(REMOVE, CONTAINER, one.name, one.service, why=why, container=one))
            else:
                taken.add(one.replaces)
                self._draft.add(Action(RENAME, CONTAINER, one.replaces, one.service, container=one))
                kept.append(one.replace(name=one.replaces))
        self._actual = self._actual.replace(containers=tuple(kept))

    # --- networks and volumes ----------------------------------------------------------------------------------------

    def _with_users_of_changed_networks(self) -> tuple[str, ...]:
        """The services that are looked at: the selected ones, and those on a network that has to be made anew."""
        names_chosen = [*self._desired.selected, *filter(None, [self._options.guest])]
        chosen = [self._desired.services[name] for name in names_chosen]
        add_volumes(self._draft, self._desired, self._actual, {one for each in chosen for one in each.volumes})
        wanted = {one for each in chosen for one in each.networks}
        self._changed_networks = add_networks(self._draft, self._desired, self._actual, wanted)
        for name in self._changed_networks:
            self._clear_network(name)
        also = {one.service for one in self._actual.containers if self._changed_networks & one.networks.keys()}
        wanted = {*self._desired.selected, *also}
        return tuple(name for name in self._desired.services if name in wanted)

    def _clear_network(self, name: str) -> None:
        """Everybody leaves before it can be removed."""
        removal = key_of(REMOVE, NETWORK, name)
        self._draft.need(removal, [key_of(REMOVE, CONTAINER, one.name) for one in self._left_over])
        for one in self._actual.containers:
            if name not in one.networks:
                continue
            needs = frozenset({self._stop(one)}) if one.up else frozenset()
            leave = Action(
                DISCONNECT, CONTAINER, f"{one.name} {name}", one.service, needs, container=one, resource=name
            )  # fmt: skip
            self._draft.need(removal, [self._draft.add(leave)])

    def _stop(self, one: Container) -> str:
        settings = {"timeout_s": self._options.timeout_s}
        return self._draft.add(Action(STOP, CONTAINER, one.name, one.service, container=one, settings=settings))

    # --- containers --------------------------------------------------------------------------------------------------

    def _make(self, service: Service) -> None:
        there = [(one, self._reasons(service, one)) for one in self._actual.of(service.name)]
        there.sort(key=lambda pair: (bool(pair[1]), pair[0].number, pair[0].name))  # unchanged ones stay first
        kept, surplus = sorted(there[: service.scale], key=lambda pair: pair[0].number), there[service.scale :]
        made = self._made[service.name] = []
        starts = self._to_start[service.name] = []
        for one, _ in surplus:
            self._remove(one, "more than the service's scale")
        for one, why in kept:
            if why:
                made.append(self._recreate(service, one, why))
                starts.append((names.container_name(self._project, service.name, service.config, one.number), one))
            else:
                self._leave(service, one)
        highest = max((one.number for one, _ in there), default=0)
        for number in range(highest + 1, highest + 1 + service.scale - len(kept)):
            name = names.container_name(self._project, service.name, service.config, number)
            made.append(self._create(service, name, number))
            starts.append((name, None))

    def _keep(self, service: Service) -> None:
        there = self._actual.of(service.name)
        if not there and service.scale:
            raise ComposeError(f'service "{service.name}" has no container to start')
        self._to_start[service.name] = []
        for one in there:
            self._leave(service, one)

    def _leave(self, service: Service, one: Container) -> None:
        """As it is; what doesn't run is started."""
        self._kept.setdefault(service.name, []).append(one)
        if one.state in ("running", "restarting"):
            self._draft.unchanged.append(one.name)
        else:
            self._to_start[service.name].append((one.name, one))

    @property
    def _project(self) -> str:
        return self._desired.project.name

    def _create(self, service: Service, name: str, number: int) -> str:
        # a name that a surplus container still has (container_name) is free only after that is gone
        needs = self._before_making(service) | {key_of(REMOVE, CONTAINER, name)}
        return self._draft.add(Action(CREATE, CONTAINER, name, service.name, needs, number=number))

    def _recreate(self, service: Service, one: Container, why: tuple[str, ...]) -> str:
        name = names.container_name(self._project, service.name, service.config, one.number)
        settings = {"timeout_s": self._options.timeout_s, "renew_anonymous": self._options.renew_anonymous}
        left_over = names.waiting_name(one.id, name)
        needs = self._before_making(service)
        needs |= {key_of(RENAME, CONTAINER, one.name), key_of(REMOVE, CONTAINER, left_over)}
        if one.up and self._stops_already(one):
            needs |= {key_of(STOP, CONTAINER, one.name)}
        return self._draft.add(
            Action(RECREATE, CONTAINER, name, service.name, needs, why, one, one.number, settings=settings)
        )

    def _stops_already(self, one: Container) -> bool:
        return key_of(STOP, CONTAINER, one.name) in self._draft

    def _before_making(self, service: Service) -> frozenset[str]:
        keys = [key_of(CREATE, NETWORK, name) for name in service.networks]
        keys += [key_of(CREATE, "Volume", name) for name in service.volumes]
        keys += [key for other in (*service.shares, *service.links) for key in self._made.get(other, ())]
        return frozenset(keys)

    def _remove(self, one: Container, why: str) -> None:
        needs = frozenset({self._stop(one)}) if one.up else frozenset()
        self._draft.add(Action(REMOVE, CONTAINER, one.name, one.service, needs, (why,), one))

    # --- why a container has to be made anew -------------------------------------------------------------------------

    def _reasons(self, service: Service, one: Container) -> tuple[str, ...]:
        if self._options.no_recreate and not self._changed_networks & one.networks.keys():
            return ()
        reasons = [f"network {name}: its configuration changed" for name in one.networks
                   if name in self._changed_networks]  # fmt: skip
        reasons += self._changed_keys(service, one) + self._changed_image(service, one)
        reasons += self._missing_places(service, one) + self._changed_company(service, one)
        if self._options.force_recreate and service.name in self._desired.named:
            reasons.append("--force-recreate")
        if self._options.always_recreate_deps and service.name not in self._desired.named:
            reasons.append("--always-recreate-deps")
        return tuple(reasons)

    def _changed_keys(self, service: Service, one: Container) -> list[str]:
        before = comparison.decoded(one.labels.get(labels.SERVICE_DOCUMENT, ""))
        if before is not None:
            return list(comparison.differences(before, service.document))
        old, new = one.labels.get(labels.CONFIG_HASH, ""), self._hash(service, self._containers())
        if old == new:
            return []
        return [f"config hash: {old[:12] or 'none'} -> {new[:12]} (which key changed is not on record: another tool "
                "made the container)"]  # fmt: skip

    def _containers(self) -> dict[str, str]:
        return {name: there[0].id for name in self._desired.services if (there := self._actual.of(name))}

    def _changed_image(self, service: Service, one: Container) -> list[str]:
        old, new = one.labels.get(labels.IMAGE) or one.image_id, self._images.get(service.image, "")
        if not old or not new or old == new:
            return []
        return [f"image {service.image}: {_short(old)} -> {_short(new)}"]

    def _missing_places(self, service: Service, one: Container) -> list[str]:
        """Networks that it is not on, or only on a former one of that name, and volumes that it doesn't have."""
        reasons = []
        for name in service.networks:
            network = self._actual.networks.get(name)
            if name not in one.networks:
                reasons.append(f"networks: not connected to {name}")
            elif name in self._changed_networks:
                continue
            elif network is None or one.networks[name] not in ("", network.id):
                reasons.append(f"networks: {name} is another one now")
        return reasons + [f"volumes: {name} is not mounted" for name in service.volumes if name not in one.volumes]

    def _changed_company(self, service: Service, one: Container) -> list[str]:
        """It lives in the namespaces of a container that is made anew, or is gone."""
        reasons = [f"container of {name}, which it shares, is made anew" for name in service.shares
                   if self._made.get(name)]  # fmt: skip
        mode = str(service.config.get("network_mode") or "")
        if not reasons and mode.startswith("service:") and one.network_mode.startswith("container:"):
            others = {other.id for other in self._actual.of(mode.removeprefix("service:"))}
            if one.network_mode.removeprefix("container:") not in others:
                reasons.append("network_mode: the container that it joined is gone")
        return reasons

    # --- starting ----------------------------------------------------------------------------------------------------

    def _stop_those_that_restart_with(self, name: str, selected: tuple[str, ...]) -> None:
        """``depends_on: restart: true``: they stop before what they need is made anew, and start after it."""
        service = self._desired.services[name]
        anew = [key for other, how in service.needs.items() if how.restart for key in self._made.get(other, ())
                if key.startswith(RECREATE)]  # fmt: skip
        if not anew or not self._options.start:
            return
        running = self._kept.get(name, ()) if name in selected else self._actual.of(name)
        starts = self._to_start.setdefault(name, [])
        for one in running:
            if one.up and all(one.name != started for started, _ in starts):
                stop = self._stop(one)
                for key in anew:
                    self._draft.need(key, [stop])
                starts.append((one.name, one))
                if one.name in self._draft.unchanged:
                    self._draft.unchanged.remove(one.name)

    def _start(self, service: Service) -> None:
        starts = self._to_start.get(service.name, ())
        needs = self._conditions(service) if starts else frozenset()
        for name, one in starts:
            verb = UNPAUSE if one is not None and one.state == "paused" and not self._stops_first(one) else START
            before = {key_of(verb_before, CONTAINER, name) for verb_before in (CREATE, RECREATE, RENAME)}
            before |= {key_of(STOP, CONTAINER, one.name)} if one is not None else set()
            self._draft.add(Action(verb, CONTAINER, name, service.name, needs | before, container=one))

    def _stops_first(self, one: Container) -> bool:
        return self._stops_already(one) or key_of(RECREATE, CONTAINER, one.name) in self._draft

    def _conditions(self, service: Service) -> frozenset[str]:
        keys: set[str] = set()
        for name, dependency in service.needs.items():
            if name in self._desired.services and name in self._to_start:
                keys |= self._condition(name, dependency)
        return frozenset(keys)

    def _condition(self, name: str, dependency: Dependency) -> set[str]:
        """What has to be done until a service fulfils the condition of one that depends on it."""
        keys: set[str] = set()
        starting = dict(self._to_start[name])
        for container in starting:
            keys |= {key_of(START, CONTAINER, container), key_of(UNPAUSE, CONTAINER, container)}
            if dependency.condition != STARTED:
                keys.add(self._wait(name, container, starting[container], dependency))
        for one in self._kept.get(name, ()):
            if one.name not in starting and not _fulfils(one, dependency.condition):
                keys.add(self._wait(name, one.name, one, dependency))
        return keys

    def _wait(self, service: str, container: str, one: Container | None, dependency: Dependency) -> str:
        needs = frozenset({key_of(START, CONTAINER, container), key_of(UNPAUSE, CONTAINER, container)})
        condition = dependency.condition + ("" if dependency.required else " (optional)")
        settings = {"condition": condition, "required": dependency.required}
        return self._draft.add(
            Action(WAIT, CONTAINER, container, service, needs, container=one, settings=settings)
        )


def _fulfils(one: Container, condition: str) -> bool:
    if condition == HEALTHY:
        return one.state == "running" and one.health == "healthy"
    if condition == COMPLETED:
        return one.state == "exited" and one.exit_code == 0
    return one.up


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
