"""Which verb lies in which module. Nothing is imported before it is asked for."""

from __future__ import annotations

from engine.oci.arguments import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    from engine.oci.containers import Containers

Options = dict[str, "Any"]


class Verb:
    """``module.function`` with how many arguments it takes (``most`` None: any number), and a module that it loads on
    its way. All that is loaded when it is called: each command is a process of its own."""

    def __init__(self, module: str, function: str, least: int = 1, most: int | None = 1, *, also: str = "") -> None:
        self._module, self._function, self._also = module, function, also
        self._least, self._most = least, most

    def __call__(self, containers: Containers, options: Options, rest: list[str]) -> int:
        if len(rest) < self._least:
            raise UsageError("a container id is needed")
        if self._most is not None and len(rest) > self._most:
            raise UsageError(f"unexpected argument {rest[self._most]!r}")
        return int(getattr(self.load(), self._function)(containers, options, rest))

    def load(self) -> Any:
        """Its module, with all that it takes."""
        if self._also:
            __import__(f"engine.oci.{self._also}")
        return __import__(f"engine.oci.{self._module}", fromlist=[self._function])


VERBS: Mapping[str, Verb] = {
    "create": Verb("verbs", "create", also="launching"), "run": Verb("verbs", "run", also="launching"),
    "start": Verb("verbs", "start"), "state": Verb("state", "show"), "kill": Verb("verbs", "kill", most=2),
    "delete": Verb("verbs", "delete"), "exec": Verb("verbs", "execute", most=None, also="execution"),
    "list": Verb("reports", "show_list", 0, 0), "ps": Verb("reports", "show_processes"),
    "pause": Verb("verbs", "pause"), "resume": Verb("verbs", "resume"), "update": Verb("updating", "update"),
    "events": Verb("reports", "show_events"), "spec": Verb("reports", "write_spec", 0, 0),
    "features": Verb("reports", "show_features", 0, 0), "verify": Verb("reports", "verify", 0, 0),
}  # fmt: skip
