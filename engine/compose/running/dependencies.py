"""Which service needs which, and in what order that puts them."""

from __future__ import annotations

from engine.compose.project import ComposeError
from engine.compose.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Mapping

STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"
_SERVICE = "service:"


class Dependency(Record):
    """``required`` false: whoever depends on it goes on without. ``restart``: it is restarted together with it."""

    condition: str = STARTED
    required: bool = True
    restart: bool = False


def dependencies_of(service: Mapping[str, Any]) -> dict[str, Dependency]:
    """By name of the service that is needed: ``depends_on``, and whose namespaces and volumes are shared."""
    found = {
        name: Dependency(one.get("condition") or STARTED, one.get("required", True), bool(one.get("restart")))
        for name, one in (service.get("depends_on") or {}).items()
    }
    for name in (*shared_with(service), *linked_with(service)):
        found.setdefault(name, Dependency())
    return found


def shared_with(service: Mapping[str, Any]) -> list[str]:
    """The services in whose containers' namespaces this one's live, or whose volumes it has."""
    modes = [str(service.get(key) or "") for key in ("network_mode", "ipc", "pid")]
    names = [mode.removeprefix(_SERVICE) for mode in modes if mode.startswith(_SERVICE)]
    volumes = [text for text in service.get("volumes_from") or () if not text.startswith("container:")]
    return list(dict.fromkeys([*names, *(text.partition(":")[0] for text in volumes)]))


def linked_with(service: Mapping[str, Any]) -> list[str]:
    """The services that ``links`` names."""
    return list(dict.fromkeys(link.partition(":")[0] for link in service.get("links") or ()))


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Names, each behind what it needs, otherwise by name; needs that are no keys are passed over. Raises ComposeError
    that names a cycle."""
    order: list[str] = []
    state: dict[str, bool] = {}  # False while what it needs is being visited

    def visit(name: str, path: tuple[str, ...]) -> None:
        if state.get(name):
            return
        if name in state:
            cycle = path[path.index(name) :]
            raise ComposeError(f"dependency cycle detected: {' -> '.join([*cycle, name])}")
        state[name] = False
        for other in sorted(needs[name]):
            if other in needs:
                visit(other, (*path, name))
        state[name] = True
        order.append(name)

    for name in sorted(needs):
        visit(name, ())
    return order


def with_dependencies(names: Iterable[str], needs: Mapping[str, Iterable[str]]) -> set[str]:
    """The names and everything that they need, directly or not."""
    found: set[str] = set()
    rest = list(names)
    while rest:
        name = rest.pop()
        if name not in found:
            found.add(name)
            rest += [other for other in needs.get(name, ()) if other in needs]
    return found


def dependents(names: Iterable[str], needs: Mapping[str, Iterable[str]]) -> set[str]:
    """Those that need one of the names, directly or not, without the names themselves."""
    wanted = set(names)
    return {name for name in needs if name not in wanted and with_dependencies([name], needs) & wanted}
