"""Which images have to be built or pulled before containers can be made."""

from __future__ import annotations

from typing import Iterable, Mapping

from engine.compose.bodies.values import nanoseconds
from engine.compose.project import ComposeError
from engine.compose.running.desired import Desired, Service
from engine.compose.running.plan import BUILD, IMAGE, PULL, PUSH, Action, Draft, Plan

POLICIES = ("always", "missing", "if_not_present", "never", "build")
_DAY_S = 86400
_AGES_S = {"daily": _DAY_S, "weekly": 7 * _DAY_S}
_EVERY = "every_"


def plan_images(
    desired: Desired, there: Mapping[str, str], *, pull: str = "", build: bool = False, no_build: bool = False,
    ages_s: Mapping[str, float] | None = None,
) -> Plan:  # fmt: skip
    """For the selected services. ``there`` are the ids of images that are there, ``ages_s`` how long ago each was
    pulled or built, where a policy asks for that; ``pull`` overrides the services' policies. Raises ComposeError."""
    draft = Draft()
    for name in desired.selected:
        service = desired.services[name]
        if not service.scale:
            continue
        policy = pull or str(service.config.get("pull_policy") or "missing")
        _check(name, policy)
        missing = service.image not in there
        if service.is_built and not no_build and (build or policy == "build" or missing):
            draft.add(_action(BUILD, service, "asked for" if not missing else "the image is missing"))
        elif service.is_built and not missing:
            continue
        elif policy in ("never", "build") and missing:
            raise ComposeError(f'service "{name}": no such image: {service.image}, and it is not to be pulled')
        elif policy == "always" or missing or _is_old(policy, (ages_s or {}).get(service.image)):
            draft.add(_action(PULL, service, "the image is missing" if missing else f"pull policy {policy}"))
    return draft.finished()


def _check(name: str, policy: str) -> None:
    if policy not in POLICIES and policy not in _AGES_S and not policy.startswith(_EVERY):
        raise ComposeError(f'services.{name}.pull_policy: "{policy}" is none of {", ".join(POLICIES)}')


def asks_for_age(desired: Desired) -> list[str]:
    """The images whose policy depends on how old they are."""
    policies = {one.image: str(one.config.get("pull_policy") or "") for one in desired.services.values()}
    return [image for image, policy in policies.items() if policy in _AGES_S or policy.startswith(_EVERY)]


def _is_old(policy: str, age_s: float | None) -> bool:
    if policy.startswith(_EVERY):
        text = policy.removeprefix(_EVERY).replace("w", "168h").replace("d", "24h")
        limit_s = nanoseconds(text, "pull_policy") / 1e9
    elif policy in _AGES_S:
        limit_s = _AGES_S[policy]
    else:
        return False
    return age_s is None or age_s >= limit_s


def plan_builds(desired: Desired, names: Iterable[str]) -> Plan:
    """``build``: all of the named services that have something to build."""
    draft = Draft()
    for name in names:
        if desired.services[name].is_built:
            draft.add(_action(BUILD, desired.services[name], ""))
    return draft.finished()


def plan_pulls(
    desired: Desired, names: Iterable[str], there: Mapping[str, str], *, only_missing: bool = False,
    ignore_buildable: bool = False,
) -> Plan:  # fmt: skip
    """``pull``: the images of the named services. What can be built is pulled only where the file names the image."""
    draft = Draft()
    for name in names:
        service = desired.services[name]
        own_name = service.is_built and not service.names_its_image
        policy = service.config.get("pull_policy")
        if own_name or (service.is_built and ignore_buildable) or policy in ("never", "build"):
            continue
        if not only_missing or service.image not in there:
            draft.add(_action(PULL, service, ""))
    return draft.finished()


def plan_pushes(desired: Desired, names: Iterable[str]) -> Plan:
    """``push``: what is built here and has a name."""
    draft = Draft()
    for name in names:
        service = desired.services[name]
        if service.is_built and service.names_its_image:
            draft.add(_action(PUSH, service, ""))
    return draft.finished()


def _action(verb: str, service: Service, why: str) -> Action:
    return Action(verb, IMAGE, service.image, service.name, why=(why,) if why else ())
