"""Networks and volumes: which are missing, which are not what the file says, which are somebody else's."""

from __future__ import annotations

from engine.compose import labels
from engine.compose.project import ComposeError
from engine.compose.running.actual import Actual, Network
from engine.compose.running.desired import Desired
from engine.compose.running.hashing import network_hash, volume_hash
from engine.compose.running.plan import CREATE, NETWORK, REMOVE, VOLUME, Action, Draft

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping


def add_networks(draft: Draft, desired: Desired, actual: Actual, wanted: set[str]) -> frozenset[str]:
    """Have the ``wanted`` networks (by the engine's name) there. Answers with those that are made anew."""
    changed = set()
    for key, network in sorted(desired.networks.items()):
        name = network["name"]
        if name not in wanted:
            continue
        found = actual.networks.get(name)
        if network.get("external"):
            if found is None and name not in {one.id for one in actual.networks.values()}:
                raise ComposeError(f"network {name} declared as external, but could not be found")
        elif found is None:
            draft.add(Action(CREATE, NETWORK, name, resource=key))
        elif _is_ours(draft, desired, key, found) and _differs(found.labels, network_hash(network)):
            changed.add(name)
            removal = draft.add(Action(REMOVE, NETWORK, name, resource=key, why=("its configuration changed",)))
            draft.add(Action(CREATE, NETWORK, name, needs=frozenset({removal}), resource=key))
    return frozenset(changed)


def _is_ours(draft: Draft, desired: Desired, key: str, found: Network) -> bool:
    label = found.labels.get(labels.NETWORK, "")
    if labels.PROJECT in found.labels and label != key:
        raise ComposeError(
            f'network {found.name} was found but has incorrect label {labels.NETWORK} set to "{label}" '
            f'(expected: "{key}")'
        )
    if found.labels.get(labels.PROJECT) != desired.project.name:
        draft.warnings.append(
            f'a network with name {found.name} exists but was not created for project "{desired.project.name}". '
            "Set `external: true` to use an existing network"
        )
        return False
    return True


def _differs(found: Mapping[str, str], wanted_hash: str) -> bool:
    return labels.CONFIG_HASH in found and found[labels.CONFIG_HASH] != wanted_hash


def add_volumes(draft: Draft, desired: Desired, actual: Actual, wanted: set[str]) -> None:
    """Have the ``wanted`` volumes there. One that differs from the file is kept: it holds data."""
    for key, volume in sorted(desired.volumes.items()):
        name = volume["name"]
        if name not in wanted:
            continue
        found = actual.volumes.get(name)
        if volume.get("external"):
            if found is None:
                raise ComposeError(f'external volume "{name}" not found')
        elif found is None:
            draft.add(Action(CREATE, VOLUME, name, resource=key))
        elif labels.PROJECT not in found.labels:
            draft.warnings.append(
                f'volume "{name}" already exists but was not created by Docker Compose. Use `external: true` to use an '
                "existing volume"
            )
        elif found.labels[labels.PROJECT] != desired.project.name:
            draft.warnings.append(
                f'volume "{name}" already exists but was created for project "{found.labels[labels.PROJECT]}" '
                f'(expected "{desired.project.name}"). Use `external: true` to use an existing volume'
            )
        elif _differs(found.labels, volume_hash(volume)):
            draft.warnings.append(
                f'volume "{name}" exists but doesn\'t match configuration in compose file: it is used as it is, since '
                f"making it anew would lose its data (docket compose down; docket volume rm {name})"
            )
