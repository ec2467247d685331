"""HostConfig's SecurityOpt (``docker run --security-opt``), parsed and checked by Docker's rules."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Mapping

from engine.domain.errors import InvalidArgument, NotSupported
from engine.kernel import apparmor

_DEFAULT_APPARMOR = "docker-default"
_SELINUX_FOLDER = "/sys/fs/selinux/policy"


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """``seccomp`` is a profile in Docker's format, None for the default, or "unconfined". ``writable_cgroups``: the
    container may make cgroups below its own."""

    no_new_privileges: bool = False
    seccomp: dict[str, Any] | str | None = None
    writable_cgroups: bool = False
    apparmor: str | None = None
    """A profile that is loaded already, or "unconfined"; None where nothing is said."""
    warnings: tuple[str, ...] = ()


def parse(host: Mapping[str, Any]) -> SecurityOptions:
    """``name=value``, or ``name:value`` as older clients have it. A later one wins. Raises InvalidArgument."""
    found: dict[str, Any] = {}
    warnings: list[str] = []
    for option in host.get("SecurityOpt") or []:
        if not isinstance(option, str):
            raise InvalidArgument("SecurityOpt must be a list of strings")
        name, value = _split(option)
        if name == "no-new-privileges":
            found["no_new_privileges"] = _switch(option, value or "true")
        elif name == "seccomp":
            found["seccomp"] = _seccomp(value)
        elif name == "writable-cgroups":
            found["writable_cgroups"] = _switch(option, value)
        elif name == "apparmor" and apparmor.is_enabled():
            found["apparmor"] = _profile(option, value)
        elif name in ("apparmor", "label"):
            warnings += _module_without_effect(name, value)
        else:
            raise InvalidArgument(f"invalid --security-opt 2: {_shown(option)!r}")
    return SecurityOptions(**found, warnings=tuple(warnings))


def with_system_paths(host: dict[str, Any]) -> dict[str, Any]:
    """"systempaths=unconfined" says that nothing below /proc and /sys is masked or read-only. As Docker's client, which
    leaves the lists of these paths empty instead."""
    options = host.get("SecurityOpt") or []
    kept = [option for option in options if option not in ("systempaths=unconfined", "systempaths:unconfined")]
    if len(kept) == len(options):
        return host
    return {**host, "SecurityOpt": kept, "MaskedPaths": [], "ReadonlyPaths": []}


def apparmor_profile(host: Mapping[str, Any]) -> str:
    """What a container's commands are confined by, where the kernel has AppArmor: what was asked for, or Docker's
    default, where Docker (or somebody else) has loaded it; that is not for privileged containers, and root's alone."""
    if not apparmor.is_enabled():
        return ""
    wanted = parse(host).apparmor
    if wanted is None:
        has_default = os.geteuid() == 0 and not host.get("Privileged") and apparmor.is_loaded(_DEFAULT_APPARMOR)
        wanted = _DEFAULT_APPARMOR if has_default else ""
    return "" if wanted == "unconfined" else wanted


def _split(option: str) -> tuple[str, str]:
    name, separator, value = option.partition("=")
    if not separator:
        name, separator, value = option.partition(":")
    if not separator and option != "no-new-privileges":
        raise InvalidArgument(f"invalid --security-opt 1: {_shown(option)!r}")
    return name, value


def _shown(option: str) -> str:
    return option if len(option) <= 80 else f"{option[:80]}..."


def _switch(option: str, value: str) -> bool:
    if value.lower() not in ("1", "t", "true", "0", "f", "false"):
        raise InvalidArgument(f"invalid --security-opt 2: {_shown(option)!r}")
    return value.lower() in ("1", "t", "true")


def _profile(option: str, value: str) -> str:
    """Which profiles there are only the kernel knows, when it is started."""
    if not value.isprintable() or not value:
        raise InvalidArgument(f"invalid --security-opt 2: {_shown(option)!r}")
    return value


def _seccomp(value: str) -> dict[str, Any] | str | None:
    if value == "unconfined":
        return value
    if value == "builtin":
        return None
    try:
        profile = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"decoding seccomp profile failed: {error}") from error
    if not isinstance(profile, dict):
        raise InvalidArgument("decoding seccomp profile failed: it must be an object")
    return profile


def _module_without_effect(name: str, value: str) -> list[str]:
    """A profile or label means nothing where the kernel doesn't have the module, as for Docker; but it is said. Where
    the kernel has SELinux, this version can't apply a label, and refuses."""
    if value in ("unconfined", "disable"):
        return []
    if name == "label" and _has_selinux():
        raise NotSupported(f"security option {name}={_shown(value)} is not supported by this version of docket yet")
    module = "AppArmor" if name == "apparmor" else "SELinux"
    return [f"security option {name}={_shown(value)} has no effect: this kernel runs without {module}"]


def _has_selinux() -> bool:
    return os.path.exists(_SELINUX_FOLDER)
