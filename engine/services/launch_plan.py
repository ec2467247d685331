"""What the runtime gets to launch a container or to put a process into one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

from engine.domain.container import Container
from engine.domain.errors import EngineError
from engine.services import log_config, mount_points, oci_spec
from engine.services.container_files import write_container_files
from engine.services.core import Core
from engine.services.seccomp_filter import default_filter
from engine.services.views import parse_document


def build_plan(core: Core, container: Container) -> dict[str, Any]:
    """Write the container's own files and answer with the plan. Its folder must exist."""
    settings = parse_document(core.log.document(container.config_digest))
    config, host = settings["Config"], settings["HostConfig"]
    folder = core.store.container(container.id)
    mounts = mount_points.parse(host, config)
    volumes = volume_folders(core, container, mounts)
    _make_bind_sources(mounts)
    hostname = config["Hostname"] or container.id[:12]
    files = write_container_files(folder, hostname, config, host)
    return {
        "container_id": container.id,
        "directory": str(folder),
        "spec": oci_spec.build(container.id, config, host, mounts, volumes, files),
        "seccomp": default_filter(oci_spec.capabilities(host)),
        "overlay": {
            "lower": _lower_folders(core, container),
            "upper": str(folder / "upper"),
            "work": str(folder / "work"),
        },
        "user": config["User"],
        "groups": list(host.get("GroupAdd") or []),
        "create_workdir": True,
        "cgroup_path": f"{core.cgroup_parent}/{container.id}",
        "stdio": {"tty": config["Tty"], "open_stdin": config["OpenStdin"], "stdin_once": config["StdinOnce"]},
        "log": log_config.settings(host, config, folder / f"{container.id}-json.log"),
    }


def volume_folders(
    core: Core, container: Container, mounts: tuple[mount_points.MountPoint, ...]
) -> dict[str, Path]:
    """The host folder of each volume by destination. Anonymous volumes were named at creation, in the same order."""
    anonymous = iter(container.anonymous_volumes)
    return {
        mount.destination: core.store.volume(mount.source or next(anonymous))
        for mount in mounts
        if mount.type == "volume"
    }


def _make_bind_sources(mounts: tuple[mount_points.MountPoint, ...]) -> None:
    """``-v /host/path:...`` makes a missing host folder, as Docker does."""
    for mount in mounts:
        if mount.type == "bind" and mount.create_source:
            try:
                Path(mount.source).mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                continue  # a file: bound as such


def _lower_folders(core: Core, container: Container) -> list[str]:
    image = core.log.get("image", container.image_id)
    if image is None:
        raise EngineError(f"image {container.image_id} of container {container.id} is gone")
    return [str(core.store.layer(chain_id)) for chain_id in reversed(image.chain_ids)]


def build_exec_plan(
    exec_id: str, body: Mapping[str, Any], config: Mapping[str, Any], host: Mapping[str, Any], hostname: str
) -> dict[str, Any]:
    """The plan of one more process. ``body`` is the document kept by the exec's creation."""
    environment = oci_spec.environment({**config, "Tty": body["Tty"]}, hostname)
    given = {entry.partition("=")[0] for entry in body["Env"]}
    return {
        "exec_id": exec_id,
        "args": body["Cmd"],
        "env": [*(entry for entry in environment if entry.partition("=")[0] not in given), *body["Env"]],
        "cwd": body["WorkingDir"] or config["WorkingDir"] or "/",
        "user": body["User"] or config["User"],
        "groups": list(host.get("GroupAdd") or []),
        "tty": body["Tty"],
        "open_stdin": body["AttachStdin"],
        "privileged": False,
        "capabilities": oci_spec.capabilities(host),
        "seccomp": default_filter(oci_spec.capabilities(host)),
        "no_new_privileges": any(option.startswith("no-new-privileges") for option in host.get("SecurityOpt") or []),
        "rlimits": [
            {"type": f"RLIMIT_{limit['Name'].upper()}", "soft": limit["Soft"], "hard": limit["Hard"]}
            for limit in host.get("Ulimits") or []
        ],
    }
