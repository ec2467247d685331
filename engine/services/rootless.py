"""What an ordinary user's engine can't do, or does in part: told when a container is created, not when it fails.

The engine itself, daemon outside and spawners inside a user namespace, is drawn in ``engine.runtime.rootless``.
"""

from __future__ import annotations

import os
from typing import Any, Mapping

from engine.domain.errors import Forbidden
from engine.kernel import cgroups
from engine.runtime.rootless import Rootless, login_name
from engine.services import limits, user_network
from engine.services.runtimes import OWN

_CONTAINER = "container:"

Json = dict[str, Any]


def refuse(rootless: Rootless | None, body: Mapping[str, Any]) -> None:
    """Refuse what takes root in a request to create a container. Raises Forbidden."""
    if rootless is None:
        return
    host = body.get("HostConfig") or {}
    if (host.get("UsernsMode") or "").startswith("remap"):
        raise Forbidden("--userns remap takes root: the containers of an ordinary user's engine are in one namespace")
    if (runtime := host.get("Runtime") or OWN) != OWN:
        raise Forbidden(f"--runtime {runtime} takes root: an ordinary user's engine has its own runtime alone")
    if host.get("StorageOpt"):
        raise Forbidden("--storage-opt takes root: the kernel lets nobody else set quotas")
    hierarchy = cgroups.detect()
    if not hierarchy.mount_points:
        pid_mode = host.get("PidMode") or ""
        if pid_mode == "host" or pid_mode.startswith(_CONTAINER):
            raise Forbidden(f"--pid {pid_mode}: its processes could not be found again: {hierarchy.refusal}")
        if host.get("CgroupParent"):
            raise Forbidden(f"--cgroup-parent: {hierarchy.refusal}")


def warnings(
    rootless: Rootless | None, asked: Mapping[str, Any], config: Mapping[str, Any], host: Mapping[str, Any]
) -> list[str]:
    """What a container will not have; ``asked`` is the request, ``config`` and ``host`` are complete. Raises what there
    is against its network."""
    if rootless is None:
        return []
    discarded = cgroups.discarded_limits(limits.resources(host), cgroups.detect())
    return [*user_network.check(asked, config, host), *discarded]


def _ends_with_the_session() -> bool:
    """Whether logind looks after the user (loginctl(1)), and ends what is left after a logout."""
    session, lingers = f"/run/systemd/users/{os.getuid()}", f"/var/lib/systemd/linger/{login_name()}"
    return os.path.exists(session) and not os.path.exists(lingers)


def about(rootless: Rootless, lacks: list[str] | None) -> Json:
    """What ``docket info`` says of it, under Docker's names. ``lacks`` are the warnings of single limits."""
    hierarchy = cgroups.detect()
    notes = list(lacks or ())
    if not hierarchy.mount_points:
        notes = [f"WARNING: no limits for containers: {hierarchy.refusal}"]
    if rootless.single:
        notes.append(
            f"WARNING: one user and group only, what belongs to others in images becomes root's: {rootless.single}"
        )
    if _ends_with_the_session():
        notes.append("WARNING: containers end with your last session: loginctl enable-linger lets them live")
    if not user_network.program():
        notes.append(f"WARNING: no network for containers but the host's: {user_network.help_()}")
    return {
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
        "CgroupDriver": "cgroupfs" if hierarchy.mount_points else "none",
        "Warnings": notes or None,
    }
