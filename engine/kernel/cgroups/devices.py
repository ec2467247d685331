"""Device rules: the specification's list as one default and exceptions to it, and v1's devices controller.

v1 can say "all but these" or "none but these"; a rule that would cut a hole into a broader exception can't be said
and is refused, on v2 too, so that a container means the same on both.
"""

from __future__ import annotations

from engine.kernel.cgroups import files
from engine.kernel.cgroups.files import refuse

LIMITS_V1 = ("devices.list",)

ANY = -1
_ACCESS = frozenset("rwm")
Key = tuple[str, int, int]
"""Type (``b`` or ``c``), major, minor; ANY is the wildcard."""


class Policy:
    """``allows``: what holds for a device without an exception. ``exceptions``: where the opposite holds."""

    __slots__ = ("allows", "exceptions")

    def __init__(self, allows: bool = True) -> None:
        self.allows = allows
        self.exceptions: dict[Key, set[str]] = {}

    def lines(self) -> list[str]:
        """The exceptions as v1 writes them, ``c 1:3 rwm``, in a fixed order."""
        return [f"{_key_text(key)} {_access_text(access)}" for key, access in sorted(self.exceptions.items())]


def resolve(rules: list[dict]) -> Policy:
    """Play ``linux.resources.devices`` in order over a cgroup that allows all."""
    policy = Policy()
    for rule in rules:
        kind, access = rule.get("type") or "a", set(rule.get("access") or "rwm")
        if kind not in ("a", "b", "c", "u", "p") or not access <= _ACCESS:
            raise refuse("devices", f"device rule {_rule_text(rule)!r} is not understood")
        if kind == "p":
            raise refuse("devices", "a fifo is no device: it has no rule")
        if kind == "a" and access == _ACCESS:
            policy = Policy(rule["allow"])
            continue
        major, minor = (ANY if rule.get(part) is None else rule[part] for part in ("major", "minor"))
        if kind == "a":
            major = minor = ANY  # the kernel doesn't look at the numbers of an "a" rule
        for letter in ("b", "c") if kind == "a" else ("c" if kind == "u" else kind,):
            _play(policy, rule, (letter, major, minor), access)
    return policy


def _play(policy: Policy, rule: dict, key: Key, access: set[str]) -> None:
    exceptions = policy.exceptions
    if rule["allow"] != policy.allows:
        exceptions.setdefault(key, set()).update(access)
        return
    for other in list(exceptions):
        if not exceptions[other] & access:
            continue
        if _covers(key, other):
            exceptions[other] -= access
            if not exceptions[other]:
                del exceptions[other]
        elif _overlaps(key, other):
            raise refuse("devices", f"device rule {_rule_text(rule)!r} cuts a hole into {_key_text(other)!r}")


def _covers(wide: Key, narrow: Key) -> bool:
    return all(a in (ANY, b) for a, b in zip(wide, narrow, strict=True))


def _overlaps(one: Key, other: Key) -> bool:
    return all(a == b or ANY in (a, b) for a, b in zip(one, other, strict=True))


def _key_text(key: Key) -> str:
    kind, major, minor = key
    return f"{kind} {'*' if major == ANY else major}:{'*' if minor == ANY else minor}"


def _access_text(access: set[str]) -> str:
    return "".join(letter for letter in "rwm" if letter in access)


def _rule_text(rule: dict) -> str:
    verb = "allow" if rule.get("allow") else "deny"
    numbers = ":".join("*" if rule.get(part) in (None, ANY) else str(rule[part]) for part in ("major", "minor"))
    return f"{verb} {rule.get('type') or 'a'} {numbers} {rule.get('access') or 'rwm'}"


def apply_v1(folder: str, rules: list[dict]) -> list[str]:
    """Bring ``devices.allow`` and ``devices.deny`` to the rules, with no moment in which a live container has less."""
    wanted = resolve(rules)
    if wanted.allows:
        files.write(folder, "devices.allow", "a")
        if wanted.exceptions:
            files.write_each(folder, "devices.deny", wanted.lines())
        return []
    now = files.read(folder, "devices.list").splitlines()
    if "a *:* rwm" in now:
        files.write(folder, "devices.deny", "a")
        now = []
    lines = wanted.lines()
    if surplus := [line for line in now if line not in lines]:
        files.write_each(folder, "devices.deny", surplus)
    if missing := [line for line in lines if line not in now]:
        files.write_each(folder, "devices.allow", missing)
    return []
