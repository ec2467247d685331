"""The plan of ``restart``: in the order in which services need each other, with those that want to restart along."""

from __future__ import annotations

from engine.compose.running.actual import Actual
from engine.compose.running.desired import Desired
from engine.compose.running.plan import CONTAINER, RESTART, Action, Draft, Plan, key_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable


def plan_restart(
    desired: Desired, actual: Actual, services: Iterable[str], *, with_dependents: bool, timeout_s: int | None
) -> Plan:
    """``with_dependents``: those that have ``depends_on: restart: true``, too, directly or not."""
    draft = Draft()
    chosen = set(services)
    if with_dependents:
        for name, service in desired.services.items():  # each comes behind what it needs
            if any(how.restart and other in chosen for other, how in service.needs.items()):
                chosen.add(name)
    for name in desired.services:
        if name not in chosen:
            continue
        before = frozenset(
            key_of(RESTART, CONTAINER, one.name)
            for other in desired.services[name].needs if other in chosen for one in actual.of(other)
        )  # fmt: skip
        for one in actual.of(name):
            draft.add(
                Action(RESTART, CONTAINER, one.name, name, before, container=one, settings={"timeout_s": timeout_s})
            )
    return draft.finished()
