"""Which seccomp filter a container gets: its specification's, or the default profile, Docker's own
(see ``seccomp-default.txt`` for its origin and licence)."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Collection
from typing import Any, NamedTuple

from engine.kernel import seccomp

_profile: dict | None = None


def default_seccomp(bounding: Collection[str]) -> dict:
    """The default as a specification's ``linux.seccomp``, for a container with this bounding set of capabilities."""
    global _profile
    if _profile is None:
        with open(os.path.join(os.path.dirname(__file__), "seccomp-default.json")) as file:
            _profile = json.load(file)
    return seccomp.resolve(_profile, bounding)


class Filter(NamedTuple):
    """A compiled filter, and the flags to install it with."""

    program: bytes
    flags: list[str]

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.program).hexdigest()}"


_compiled_defaults: dict[frozenset[str], Filter] = {}
_KEPT_DEFAULTS = 64


def compiled_default(bounding: Collection[str]) -> Filter:
    """The default as a filter. The spawner asks for it before it forks, so that its children have it compiled."""
    key = frozenset(bounding)
    if key not in _compiled_defaults:
        if len(_compiled_defaults) >= _KEPT_DEFAULTS:
            _compiled_defaults.clear()
        profile = default_seccomp(key)
        _compiled_defaults[key] = Filter(seccomp.compile_filter(profile), profile.get("flags") or [])
    return _compiled_defaults[key]


def default_wanted_for(plan: dict[str, Any]) -> list[str] | None:
    """The bounding set for which the plan wants the default profile; None where it wants something else."""
    process, linux = plan["spec"].get("process") or {}, plan["spec"].get("linux") or {}
    if plan.get("seccomp") != "default" or linux.get("seccomp"):
        return None
    return (process.get("capabilities") or {}).get("bounding") or []


def filter_of(plan: dict[str, Any]) -> Filter | None:
    """``linux.seccomp`` of the specification, else the default where the plan has ``"seccomp": "default"``, else none.
    Raises OSError for a profile that can't be had."""
    profile = (plan["spec"].get("linux") or {}).get("seccomp")
    if not profile:
        bounding = default_wanted_for(plan)
        return None if bounding is None else compiled_default(bounding)
    if seccomp.wants_listener(profile) or profile.get("listenerPath"):
        raise OSError(errno.EOPNOTSUPP, "seccomp notifications are not supported by this version", "linux.seccomp")
    try:
        return Filter(seccomp.compile_filter(profile), profile.get("flags") or [])
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), "linux.seccomp") from error
