"""Which images have to be built or pulled before containers can be made."""

from __future__ import annotations

from engine.compose.bodies.values import nanoseconds
from engine.compose.project import ComposeError
from engine.compose.running.dependencies import in_order
from engine.compose.running.desired import Desired, Service
from engine.compose.running.plan import BUILD, IMAGE, PULL, PUSH, Action, Draft, Plan, key_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Mapping

POLICIES = ("always", "missing", "if_not_present", "never", "build")
_DAY_S = 86400
_AGES_S = {"daily": _DAY_S, "weekly": 7 * _DAY_S}
_EVERY = "every_"
_OF_SERVICE = "service:"


def plan_images(
    desired: Desired, there: Mapping[str, str], *, pull: str = "", build: bool = False, no_build: bool = False,
    ages_s: Mapping[str, float] | None = None,
) -> Plan:  # fmt: skip
    """For the selected services. ``there`` are the ids of images that are there, ``ages_s`` how long ago each was
    pulled or built, where a policy asks for that; ``pull`` overrides the services' policies. Raises ComposeError."""
    draft = Draft()
    for name in _with_bases(desired, (name for name in desired.selected if desired.services[name].scale), there):
        service = desired.services[name]
        policy = pull or str(service.config.get("pull_policy") or "missing")
        _check(name, policy)
        missing = service.image not in there
        if service.is_built and not no_build and (build or policy == "build" or missing):
            draft.add(_build(desired, service, "asked for" if not missing else "the image is missing"))
        elif service.is_built and not missing:
            continue
        elif policy in ("never", "build") and missing:
            raise ComposeError(f'service "{name}": no such image: {service.image}, and it is not to be pulled')
        elif policy == "always" or missing or _is_old(policy, (ages_s or {}).get(service.image)):
            draft.add(_action(PULL, service, "the image is missing" if missing else f"pull policy {policy}"))
    return draft.finished()


def _with_bases(desired: Desired, names: Iterable[str], there: Mapping[str, str]) -> list[str]:
    """The services, and those whose images are contexts of their builds (``additional_contexts``) and missing. Raises
    ComposeError for images that are made of each other."""
    found = dict.fromkeys(names)
    waiting = list(found)
    while waiting:
        for base in _bases(desired.services[waiting.pop()]):
            if base not in found and desired.services[base].image not in there:
                found[base] = None
                waiting.append(base)
    bases: dict[str, set[str]] = {}
    for service in (desired.services[name] for name in found):
        bases.setdefault(service.image, set()).update(desired.services[base].image for base in _bases(service))
    in_order(bases)
    return list(found)


def _bases(service: Service) -> list[str]:
    contexts = (service.config.get("build") or {}).get("additional_contexts") or {}
    return [place.removeprefix(_OF_SERVICE) for place in contexts.values() if place.startswith(_OF_SERVICE)]


def _build(desired: Desired, service: Service, why: str) -> Action:
    """After the builds of the services whose images it needs."""
    images = [desired.services[base].image for base in _bases(service)]
    needs = frozenset(key_of(BUILD, IMAGE, image) for image in images)
    return _action(BUILD, service, why).replace(needs=needs)


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
    for name in _with_bases(desired, names, {}):
        if desired.services[name].is_built:
            draft.add(_build(desired, desired.services[name], ""))
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
