"""Two documents in long form to one, by the specification's rules: mappings are merged, lists appended, scalars
replaced; some lists have one entry a key, some elements are replaced as a whole."""

from __future__ import annotations

from engine.compose.model.positions import Path
from engine.compose.model.shapes import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Merge = Callable[[Any, Any, Path], Any]


def merge(base: Any, over: Any, path: Path = ()) -> Any:
    """What ``over`` makes of ``base``. Neither is changed."""
    rule = _rule(path)
    if rule is _replace:
        return over
    if base is None or over is None:
        return over if base is None else base
    if rule is not None:
        return rule(base, over, path)
    if isinstance(base, dict) and isinstance(over, dict):
        return _merge_mappings(base, over, path)
    if isinstance(base, list) and isinstance(over, list):
        return unique([*base, *over], path)
    return over


def _merge_mappings(base: dict[str, Any], over: dict[str, Any], path: Path) -> dict[str, Any]:
    found = dict(base)
    for key, value in over.items():
        found[key] = merge(base[key], value, (*path, key)) if key in base else value
    return found


def without_repeats(document: dict[str, Any]) -> dict[str, Any]:
    """A document in long form in which each list that has one entry a key has just that."""
    services = {}
    for name, service in document.get("services", {}).items():
        services[name] = {
            key: unique(value, ("services", name, key)) if isinstance(value, list) else value
            for key, value in service.items()
        }
    return {**document, "services": services} if services else document


def _replace(base: Any, over: Any, path: Path) -> Any:
    return over


def _logging(base: dict[str, Any], over: dict[str, Any], path: Path) -> dict[str, Any]:
    """Options are merged only where both are for one driver."""
    same = "driver" not in base or "driver" not in over or base["driver"] == over["driver"]
    return _merge_mappings(base, over, path) if same else over


def _pools(base: list[dict[str, Any]], over: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Address pools: the override's, each over the one of the same subnet."""
    by_subnet = {pool.get("subnet"): pool for pool in base}
    return [_merge_mappings(by_subnet.get(pool.get("subnet"), {}), pool, path) for pool in over]


_RULES: dict[tuple[str, ...], Merge] = {
    ("services", "*", "command"): _replace,
    ("services", "*", "entrypoint"): _replace,
    ("services", "*", "healthcheck", "test"): _replace,
    ("services", "*", "ulimits", "*"): _replace,
    ("services", "*", "logging"): _logging,
    ("networks", "*", "ipam", "config"): _pools,
}


def _rule(path: Path) -> Merge | None:
    if len(path) < 3:
        return None
    below = tuple(str(part) for part in path[2:])
    if len(below) == 2 and below[0] == "ulimits":
        below = ("ulimits", "*")
    return _RULES.get((str(path[0]), "*", *below))


def _port_key(entry: dict[str, Any]) -> Any:
    host_ip, published = entry.get("host_ip") or "0.0.0.0", entry.get("published")
    return host_ip, published, entry.get("target"), entry.get("protocol", "tcp")


def _mounted_at(default: str) -> Callable[[dict[str, Any]], Any]:
    return lambda entry: entry.get("target") or f"{default}/{entry.get('source')}"


_KEYS: dict[str, Callable[[Any], Any]] = {
    "ports": _port_key,
    "volumes": lambda entry: entry.get("target"),
    "devices": lambda entry: entry.get("target"),
    "secrets": _mounted_at("/run/secrets"),
    "configs": _mounted_at(""),
    "env_file": lambda entry: entry.get("path"),
}
_ONCE = frozenset("""
    cap_add cap_drop device_cgroup_rules dns dns_opt dns_search expose external_links group_add label_file links
    profiles security_opt tmpfs volumes_from
""".split())
"""Lists of a service in which a text counts once. In all others, as in a command, the same text may stand twice."""
_ONCE_BELOW = {"networks": ("aliases", "link_local_ips"), "build": ("tags",)}


def unique(entries: list[Any], path: Path) -> list[Any]:
    """The entries of a list with one a key, the last one at the place of the first."""
    key_of = _key_of(path)
    if key_of is None:
        return entries
    found: dict[Any, Any] = {}
    for entry in entries:
        found[key_of(entry) if isinstance(entry, dict) or key_of is text_of else entry] = entry
    return list(found.values())


def _key_of(path: Path) -> Callable[[Any], Any] | None:
    if len(path) < 3 or path[0] != "services":
        return None
    name = str(path[-1])
    if len(path) == 3:
        return _KEYS.get(name) or (text_of if name in _ONCE else None)
    return text_of if name in _ONCE_BELOW.get(str(path[2]), ()) else None
