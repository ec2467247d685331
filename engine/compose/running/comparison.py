"""Whether a container is still what its service asks for, and if not, which key changed from what to what."""

from __future__ import annotations

from engine.client import jsontext
from engine.compose.bodies.injected import injected_files
from engine.compose.project import Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping

_NOT_THE_CONTAINERS = ("build", "depends_on", "develop", "profiles", "pull_policy", "scale", "post_start", "pre_stop")
"""Keys that say how it is made, when and how often, but not what it is. Docker Compose's hash leaves most of them out,
too. Hooks are looked up when they run, so a container needs not be made anew for them."""

_SHOWN_CHARACTERS = 80


def document(project: Project, name: str, service: Mapping[str, Any]) -> dict[str, Any]:
    """What of a canonical service a container is compared by. Texts that are copied into it count by their digest."""
    found = {key: value for key, value in service.items() if key not in _NOT_THE_CONTAINERS and value is not None}
    if "deploy" in found:
        deploy = {key: value for key, value in found["deploy"].items() if key not in ("replicas", "placement")}
        found |= {"deploy": deploy}
        if not deploy:
            del found["deploy"]
    if files := injected_files(project, name, service):
        found["injected"] = {file.path: file.fingerprint for file in files}
    return found


def encoded(value: Mapping[str, Any]) -> str:
    """The text that a label holds."""
    return jsontext.encode(value, ascii_only=False, sort_keys=True)


def decoded(text: str) -> dict[str, Any] | None:
    """What a label holds; None for none, or for what somebody else wrote there."""
    try:
        value = jsontext.decode(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """"environment.A: 1 -> 2", a line a key; lists are compared as wholes."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            inner = f"{path}.{key}" if path else key
            if key not in old:
                yield f"{inner}: set to {_shown(new[key])}"
            elif key not in new:
                yield f"{inner}: {_shown(old[key])} is no longer set"
            else:
                yield from differences(old[key], new[key], inner)
    elif old != new:
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else jsontext.encode(value, ascii_only=False)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
