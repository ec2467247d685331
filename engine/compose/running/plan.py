"""A plan: actions, and which of them must be done before which."""

from __future__ import annotations

from engine.compose.records import Record
from engine.compose.running.actual import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator, Mapping

CREATE, RECREATE, RENAME, START, STOP, RESTART, REMOVE, KILL, PAUSE, UNPAUSE, WAIT, DISCONNECT, PULL, BUILD, PUSH = (
    "create", "recreate", "rename", "start", "stop", "restart", "remove", "kill", "pause", "unpause", "wait",
    "disconnect", "pull", "build", "push",
)  # fmt: skip
CONTAINER, NETWORK, VOLUME, IMAGE = "Container", "Network", "Volume", "Image"


class Action(Record):
    """``verb`` done to the ``kind`` of thing called ``name``. ``container`` is the one that is there already;
    ``resource`` is the model's key of a network or volume; ``needs`` are keys of actions that come first; ``why`` says
    what made it necessary; ``settings`` are the verb's own (timeout_s, signal, condition, required ...)."""

    verb: str
    kind: str
    name: str
    service: str = ""
    needs: frozenset[str] = frozenset()
    why: tuple[str, ...] = ()
    container: Container | None = None
    number: int = 0
    resource: str = ""
    settings: Mapping[str, Any] = {}

    @property
    def key(self) -> str:
        extra = f" {self.settings['condition']}" if "condition" in self.settings else ""
        return f"{self.verb} {self.kind} {self.name}{extra}"


class Plan(Record):
    """``actions`` in an order that respects their needs; ``unchanged`` are names of containers that are as they should
    be; ``warnings`` are for the user."""

    actions: tuple[Action, ...] = ()
    unchanged: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.actions)

    def described(self) -> Iterator[str]:
        """A line an action, as ``--dry-run`` prints it."""
        for action in self.actions:
            yield f"{action.verb:<10} {action.kind.lower():<9} {action.name}" + _settings_text(action)


def _settings_text(action: Action) -> str:
    parts = [f" until {action.settings['condition']}"] if action.verb == WAIT else []
    if action.verb == DISCONNECT:
        parts.append(f" from {action.resource}")
    if action.why:
        parts.append(f"  ({'; '.join(action.why)})")
    return "".join(parts)


class Draft:
    """A plan in the making. Needs may name actions that never come: they are taken out at the end."""

    def __init__(self) -> None:
        self._actions: dict[str, Action] = {}
        self.unchanged: list[str] = []
        self.warnings: list[str] = []

    def add(self, action: Action) -> str:
        """Adding an action twice joins what both need. Answers with its key."""
        known = self._actions.get(action.key)
        if known is not None:
            action = known.replace(needs=known.needs | action.needs, why=known.why or action.why)
        self._actions[action.key] = action
        return action.key

    def need(self, key: str, others: Iterable[str]) -> None:
        """Have an action that is there already wait for others, too."""
        self._actions[key] = self._actions[key].replace(needs=self._actions[key].needs | set(others))

    def __contains__(self, key: str) -> bool:
        return key in self._actions

    def finished(self) -> Plan:
        """Raises ValueError where actions wait for each other: a defect of the planner."""
        self._keep_order_within_containers()
        done: dict[str, Action] = {}
        rest = {key: one.replace(needs=one.needs & self._actions.keys()) for key, one in self._actions.items()}
        while rest:
            ready = [key for key, one in rest.items() if one.needs <= done.keys()]
            if not ready:
                raise ValueError(f"actions wait for each other: {', '.join(rest)}")
            for key in ready:
                done[key] = rest.pop(key)
        return Plan(tuple(done.values()), tuple(self.unchanged), tuple(dict.fromkeys(self.warnings)))

    def _keep_order_within_containers(self) -> None:
        """A container gets its name before anything else is done to it, and leaves its networks before it goes."""
        first: dict[str, set[str]] = {}
        before_removal: dict[str, set[str]] = {}
        for key, action in self._actions.items():
            if action.container is not None and action.verb in (RENAME, DISCONNECT):
                kept = first if action.verb == RENAME else before_removal
                kept.setdefault(action.container.id, set()).add(key)
        for key, action in list(self._actions.items()):
            if action.container is not None and action.verb != RENAME:
                self.need(key, first.get(action.container.id, ()))
                if action.verb == REMOVE:
                    self.need(key, before_removal.get(action.container.id, ()))


def key_of(verb: str, kind: str, name: str) -> str:
    return f"{verb} {kind} {name}"
