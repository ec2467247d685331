"""Fields of values in a template: what Docker's types know of a field that JSON doesn't say, or doesn't have."""

from __future__ import annotations

from engine.cli.output import CommandError
from engine.cli.template_functions import NilList, NilMap, NilPointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

_MAPS = frozenset((
    "Annotations", "Attributes", "Data", "Details", "DriverOpts", "ExposedPorts", "Labels", "Networks", "Options",
    "PortBindings", "Ports", "Sysctls", "Tmpfs", "Volumes",
))  # fmt: skip
"""Fields whose keys are the user's own: asking for one that is absent is no mistake (Go shows ``<no value>``)."""

_MORE_MAPS = frozenset(("GraphOptions", "LogOpts", "Runtimes", "Status", "StorageOpt"))
_POINTERS = frozenset((
    "ClusterInfo", "Config", "ContainerConfig", "Descriptor", "Health", "Healthcheck", "IPAMConfig", "Init",
    "MemorySwappiness", "Metadata", "OomKillDisable", "PidsLimit", "Platform", "StopTimeout", "UsageData",
))  # fmt: skip
"""JSON doesn't tell what a null would have been: these are maps and pointers in Docker's types, others are lists."""

_OMITTED: Mapping[str, Mapping[str, Any]] = {
    "": {"SizeRw": NilPointer(), "SizeRootFs": NilPointer()},
    "State": {"Health": NilPointer()},
    "Config": {
        "ArgsEscaped": False, "ExposedPorts": NilMap(), "Healthcheck": NilPointer(), "MacAddress": "",
        "NetworkDisabled": False, "Shell": NilList(), "StopSignal": "", "StopTimeout": NilPointer(),
    },
    "HostConfig": {
        "Annotations": NilMap(), "Init": NilPointer(), "Mounts": NilList(), "StorageOpt": NilMap(), "Sysctls": NilMap(),
        "Tmpfs": NilMap(),
    },
}  # fmt: skip
"""What inspection leaves out where it is empty, below which field -> what it shows itself as."""


def field_of(value: Any, name: str, parent: str, place: str, *, is_last: bool) -> Any:
    """The field of a value; absent ones are an error but where the keys are the user's own, or Docker's engine leaves
    out what is empty. ``place`` is what an error begins with."""
    if isinstance(value, dict) and name in value:
        return value[name] if value[name] is not None else _nil(value, name, parent)
    if value is None or isinstance(value, NilPointer) or parent in _MAPS:
        return None
    if isinstance(value, dict) and (same := [key for key in value if key.lower() == name.lower()]):
        found = value[same[0]]  # Go's names of fields, which Docker's templates use: ID for Id, HostIP for HostIp
        return found if found is not None else _nil(value, same[0], parent)
    if is_last and isinstance(value, dict) and not hasattr(value, "kind") and name in _OMITTED.get(parent, ()):
        return _OMITTED[parent][name]
    if not isinstance(value, dict):
        raise CommandError(f"template parsing error: {place}can't evaluate field {name} in type {type(value).__name__}")
    if kind := getattr(value, "kind", ""):
        raise CommandError(f"failed to execute template: {place}can't evaluate field {name} in type {kind}")
    raise CommandError(f'template parsing error: {place}map has no entry for key "{name}"')


def _nil(holder: dict[str, Any], name: str, parent: str) -> Any:
    """What a null field shows itself as in Docker's client, whose types know what it would have been."""
    if getattr(holder, "kind", ""):
        return None  # a row of ours
    if parent not in _MAPS and name in _POINTERS:
        return NilPointer()
    return NilMap() if parent not in _MAPS and name in _MAPS | _MORE_MAPS else NilList()
