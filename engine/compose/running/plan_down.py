"""The plans of ``down``, ``stop``, ``rm`` and of what is done to each container alike: who depends goes before whom it
depends on."""

from __future__ import annotations

from engine.compose import labels
from engine.compose.project import Project
from engine.compose.records import Record
from engine.compose.running.actual import Actual, Container
from engine.compose.running.dependencies import dependents
from engine.compose.running.plan import (
    CONTAINER, IMAGE, NETWORK, REMOVE, STOP, VOLUME, Action, Draft, Plan, key_of,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Mapping

    Needs = Mapping[str, tuple[str, ...]]

NONE, LOCAL, ALL = "", "local", "all"


class DownOptions(Record):
    """``images`` says which go: NONE, LOCAL (those without a name of their own) or ALL."""

    volumes: bool = False
    images: str = NONE
    remove_orphans: bool = False
    timeout_s: int | None = None


def add_orphans(draft: Draft, project: Project, actual: Actual, *, remove: bool, timeout_s: int | None) -> list[str]:
    """Containers of services that the file doesn't have: removed, or named. Answers with the keys of what removes."""
    known = {*(project.model.get("services") or {}), *project.disabled}
    orphans = [one for one in actual.containers if one.service not in known]
    if orphans and not remove:
        names = " ".join(sorted(one.name for one in orphans if not one.one_off))
        if names:
            draft.warnings.append(
                f"Found orphan containers ([{names}]) for this project. If you removed or renamed this service in your "
                "compose file, you can run this command with the --remove-orphans flag to clean it up."
            )
        return []
    keys = []
    for one in orphans:
        needs = _stopped(draft, one, timeout_s)
        keys.append(draft.add(Action(REMOVE, CONTAINER, one.name, one.service, needs, ("an orphan",), one)))
    return keys


def plan_orphans(project: Project, actual: Actual) -> Plan:
    draft = Draft()
    add_orphans(draft, project, actual, remove=True, timeout_s=None)
    return draft.finished()


def _stopped(
    draft: Draft, one: Container, timeout_s: int | None, needs: frozenset[str] = frozenset()
) -> frozenset[str]:
    """The key of the action that stops it, if it is up."""
    if not one.up:
        return frozenset()
    settings = {"timeout_s": timeout_s}
    return frozenset({draft.add(Action(STOP, CONTAINER, one.name, one.service, needs, (), one, settings=settings))})


def plan_stop(actual: Actual, needs: Needs, services: Iterable[str], timeout_s: int | None) -> Plan:
    """Stop what is up; ``needs`` is what each service depends on."""
    draft = Draft()
    _add_stops(draft, actual, needs, set(services), timeout_s, one_off=False)
    return draft.finished()


def _add_stops(
    draft: Draft, actual: Actual, needs: Needs, services: set[str], timeout_s: int | None, *, one_off: bool
) -> None:
    for one in actual.containers:
        if one.service in services and (one_off or not one.one_off):
            _stopped(draft, one, timeout_s, _stops_of(actual, dependents([one.service], needs)))


def _stops_of(actual: Actual, services: Iterable[str]) -> frozenset[str]:
    wanted = set(services)
    return frozenset(key_of(STOP, CONTAINER, one.name) for one in actual.containers if one.service in wanted)


def plan_down(
    project: Project, actual: Actual, needs: Needs, services: Iterable[str], options: DownOptions,
    images: Mapping[str, str] | None = None,
) -> Plan:  # fmt: skip
    """Stop and remove; networks, and what ``options`` say, only where the whole project goes down.

    ``images`` are those that may go: what each service's image is called -> service."""
    draft = Draft()
    chosen = set(services)
    _add_stops(draft, actual, needs, chosen, options.timeout_s, one_off=True)
    gone = []
    for one in actual.containers:
        if one.service in chosen:
            action = Action(
                REMOVE, CONTAINER, one.name, one.service, frozenset({key_of(STOP, CONTAINER, one.name)}), (), one,
                settings={"volumes": options.volumes},
            )  # fmt: skip
            gone.append(draft.add(action))
    gone += add_orphans(draft, project, actual, remove=options.remove_orphans, timeout_s=options.timeout_s)
    if chosen >= {*(project.model.get("services") or {})}:
        _add_resources(draft, project, actual, options, frozenset(gone))
    if options.images != NONE:
        for name, service in sorted((images or {}).items()):
            draft.add(Action(REMOVE, IMAGE, name, service, frozenset(gone)))
    return draft.finished()


def _add_resources(
    draft: Draft, project: Project, actual: Actual, options: DownOptions, after: frozenset[str]
) -> None:
    """A network goes as soon as nobody runs on it, beside the removal of those who did: the kernel takes its time."""
    stops = frozenset(key_of(STOP, CONTAINER, one.name) for one in actual.containers)
    for name, network in sorted(actual.networks.items()):
        key = network.labels.get(labels.NETWORK, "")
        if network.labels.get(labels.PROJECT) == project.name and not _is_external(project, "networks", key):
            draft.add(Action(REMOVE, NETWORK, name, needs=stops, resource=key))
    if options.volumes:
        for name, volume in sorted(actual.volumes.items()):
            key = volume.labels.get(labels.VOLUME, "")
            if volume.labels.get(labels.PROJECT) == project.name and not _is_external(project, "volumes", key):
                draft.add(Action(REMOVE, VOLUME, name, needs=after, resource=key))


def _is_external(project: Project, kind: str, key: str) -> bool:
    return bool(((project.model.get(kind) or {}).get(key) or {}).get("external"))


def plan_remove(
    actual: Actual, needs: Needs, services: Iterable[str], *, stop: bool, volumes: bool, timeout_s: int | None = None
) -> Plan:
    """``rm``: stopped containers, with ``stop`` all of them, but those that ``run`` made."""
    draft = Draft()
    chosen = set(services)
    if stop:
        _add_stops(draft, actual, needs, chosen, timeout_s, one_off=False)
    for one in actual.containers:
        if one.service in chosen and not one.one_off and (stop or not one.up):
            after = frozenset({key_of(STOP, CONTAINER, one.name)})
            draft.add(
                Action(REMOVE, CONTAINER, one.name, one.service, after, container=one, settings={"volumes": volumes})
            )
    return draft.finished()


def plan_each(verb: str, actual: Actual, services: Iterable[str], signal: str = "") -> Plan:
    """KILL, PAUSE or UNPAUSE for each container that is up, all at once. One that is paused already is an error, as
    everywhere."""
    draft, chosen = Draft(), set(services)
    for one in actual.containers:
        if one.service in chosen and not one.one_off and one.up:
            settings = {"signal": signal} if signal else {}
            draft.add(Action(verb, CONTAINER, one.name, one.service, container=one, settings=settings))
    return draft.finished()
