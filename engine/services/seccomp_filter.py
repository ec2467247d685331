"""A container's seccomp filter: Docker's default profile or one of the user's, compiled once for what it depends on."""

from __future__ import annotations

import base64
import functools
import json
from typing import Any, Sequence

from engine.domain.errors import InvalidArgument
from engine.kernel import seccomp
from engine.runtime.seccomp_profile import default_seccomp
from engine.services.security_options import SecurityOptions


def filter_for(
    options: SecurityOptions, capabilities: Sequence[str], *, privileged: bool, keeps_projects: bool = False
) -> dict[str, Any] | None:
    """What the init installs, None for no filter. ``privileged`` takes the default away, and not a profile that was
    asked for; ``keeps_projects`` is the default's (``default_seccomp``). Raises InvalidArgument for a profile that
    can't be compiled."""
    if options.seccomp == "unconfined" or (options.seccomp is None and privileged):
        return None
    if options.seccomp is None:
        return default_filter(capabilities, keeps_projects=keeps_projects)
    return _custom(json.dumps(options.seccomp, sort_keys=True), tuple(sorted(capabilities)))


def default_filter(capabilities: Sequence[str], *, keeps_projects: bool = False) -> dict[str, Any]:
    """What the init installs: ``program`` (BPF in base64), ``flags``, and the ``digest`` that the evidence names."""
    return _default(tuple(sorted(capabilities)), keeps_projects)


@functools.lru_cache(maxsize=32)
def _default(capabilities: tuple[str, ...], keeps_projects: bool) -> dict[str, Any]:
    return _compiled(default_seccomp(capabilities, keeps_projects=keeps_projects))


@functools.lru_cache(maxsize=32)
def _custom(profile: str, capabilities: tuple[str, ...]) -> dict[str, Any]:
    try:
        resolved = seccomp.resolve(json.loads(profile), capabilities)
        if seccomp.wants_listener(resolved):
            raise ValueError("SCMP_ACT_NOTIFY needs a supervisor's socket, which this engine doesn't offer")
        seccomp.check_flags(resolved.get("flags") or [])
        return _compiled(resolved)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidArgument(f"invalid seccomp profile: {reason}") from error


def _compiled(resolved: dict[str, Any]) -> dict[str, Any]:
    return {
        "program": base64.b64encode(seccomp.compile_filter(resolved)).decode(),
        "flags": resolved.get("flags") or [],
        "digest": seccomp.digest(resolved),
    }
