"""What the runtime gets to launch a container or to put a process into one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Mapping

from engine.domain.container import Container
from engine.domain.errors import Conflict, EngineError
from engine.runtime.overlay import MOST_LAYERS
from engine.services import (
    layer_limits, links, log_config, mount_points, oci_spec, runtimes, security_options, sharing, user_network,
    volume_options,
)  # fmt: skip
from engine.services.container_files import with_defaults, write_container_files
from engine.services.core import Core
from engine.services.endpoints import Attachment
from engine.services.seccomp_filter import filter_for


def build_plan(
    core: Core, container: Container, settings: Mapping[str, Any], network: Attachment
) -> dict[str, Any]:
    """Write the container's own files and answer with the plan. Its folder must exist. ``settings`` are the document
    of its creation."""
    config, host = settings["Config"], settings["HostConfig"]
    folder = core.store.container(container.id)
    mounts = mount_points.parse(host, config)
    volumes = volume_folders(core, container, mounts)
    _make_bind_sources(mounts)
    config = {**config, "Hostname": hostname_of(container.id, config, host)}
    linked = links.for_start(core, container, host)
    config = {**config, "Env": [*links.variables(container, linked), *config["Env"]]}
    files = _other_files(core, host) or write_container_files(
        folder, config["Hostname"], config, with_defaults(host, core.network), network.addresses,
        network.gateway or user_network.gateway(host), network.resolver, links.host_lines(linked),
    )  # fmt: skip
    options = security_options.parse(host)
    capabilities, privileged = oci_spec.capabilities(host), bool(host.get("Privileged"))
    spec = oci_spec.build(
        container.id, config, host, mounts, volumes, files, options=options,
        namespaces=sharing.namespaces(core, host), volume_opts=volume_settings(core, container, mounts),
    )
    spec["root"]["path"] = str(core.store.mounted_root)
    return {
        "container_id": container.id,
        "directory": str(folder),
        **runtimes.plan(core.runtimes, host, spec, options),
        "spec": spec,
        "subpaths": {mount.destination: mount.subpath for mount in mounts if mount.subpath},
        "interfaces": network.interfaces,
        "resolver": network.resolver,
        "listeners": network.held.listeners,
        "user_network": user_network.plan(config, host),
        "seccomp": filter_for(
            options, capabilities, privileged=privileged, keeps_projects=bool(host.get("StorageOpt"))
        ),
        "shared_memory": sharing.shared_memory(core, host),
        "init": bool(host.get("Init")),
        "overlay": root_layers(core, container, host),
        "user": config["User"],
        "groups": list(host.get("GroupAdd") or []),
        "create_workdir": True,
        "cgroup_path": core.cgroup_path(container.id, host),
        "stdio": {"tty": config["Tty"], "open_stdin": config["OpenStdin"], "stdin_once": config["StdinOnce"]},
        "log": log_config.settings(host, config, folder / f"{container.id}-json.log", container),
    }


def _other_files(core: Core, host: Mapping[str, Any]) -> dict[str, Path]:
    """Those of the container whose network it shares, by destination."""
    mode = host["NetworkMode"]
    if not mode.startswith("container:"):
        return {}
    folder = core.store.container(mode.removeprefix("container:"))
    return {f"/etc/{name}": folder / name for name in ("hostname", "hosts", "resolv.conf")}


def hostname_of(container_id: str, config: Mapping[str, Any], host: Mapping[str, Any]) -> str:
    """The host name inside: the host's own in its UTS namespace."""
    return config["Hostname"] or (os.uname().nodename if host.get("UTSMode") == "host" else container_id[:12])


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


def volume_settings(
    core: Core, container: Container, mounts: tuple[mount_points.MountPoint, ...]
) -> dict[str, dict[str, str]]:
    """The driver's options of volumes that have any, by destination. Raises Conflict for one that would not be shared
    with the container that has it now."""
    found = {}
    for destination, folder in volume_folders(core, container, mounts).items():
        volume = core.log.get("volume", folder.parent.name)
        if volume is None or not volume.options:
            continue
        if volume_options.is_private(volume.options):
            _refuse_second(core, container, volume.id)
        found[destination] = volume_options.resolved(volume.id, volume.options)
    return found


def _refuse_second(core: Core, container: Container, volume: str) -> None:
    for other_id in core.log.containers_of_volume(volume):
        other = core.log.get("container", other_id)
        if other is not None and other.id != container.id and other.alive:
            raise Conflict(
                f"volume {volume} is a file system in memory that container {other.name} has mounted: it can't be "
                "shared by two running containers"
            )


def fresh_volumes(
    core: Core, container: Container, settings: Mapping[str, Any]
) -> list[tuple[str, str, bool]]:
    """The volumes of a start, as ``Volumes.filling`` wants them: destination, name, whether a fresh one is filled."""
    mounts = mount_points.parse(settings["HostConfig"], settings["Config"])
    folders = volume_folders(core, container, mounts)
    wanted = []
    for mount in mounts:
        if mount.type == "volume":
            name = folders[mount.destination].parent.name
            volume = core.log.get("volume", name)
            plain = volume is not None and not volume.options
            wanted.append((mount.destination, name, mount.copy and plain and not (mount.read_only or mount.subpath)))
    return wanted


def _make_bind_sources(mounts: tuple[mount_points.MountPoint, ...]) -> None:
    """``-v /host/path:...`` makes a missing host folder, as Docker does."""
    for mount in mounts:
        if mount.type == "bind" and mount.create_source:
            try:
                Path(mount.source).mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                continue  # a file: bound as such


def chain_ids_of(core: Core, container: Container) -> list[str]:
    """The image's layers, topmost first. Raises EngineError where the image is gone."""
    if container.build_id:
        return list(reversed(container.chain_ids))
    image = core.log.get("image", container.image_id)
    if image is None:
        raise EngineError(f"image {container.image_id} of container {container.id} is gone")
    return list(reversed(image.chain_ids))


def lower_folders(core: Core, container: Container) -> list[str]:
    """Where these layers lie."""
    return [str(core.store.layer(chain_id)) for chain_id in chain_ids_of(core, container)]


def root_folders(core: Core, container: Container) -> list[str]:
    """What a container's root is made of, topmost first: the image's layers, and below them something to mount on where
    they have nothing at /etc/hosts and the like."""
    layers = lower_folders(core, container)
    return [*layers, str(core.store.stubs)] if 0 < len(layers) < MOST_LAYERS else layers


def root_layers(core: Core, container: Container, host: Mapping[str, Any]) -> dict[str, Any]:
    """The same and its writable layer, as whoever mounts the root wants it."""
    folder = core.store.container(container.id)
    return {
        "lower": root_folders(core, container), "upper": str(folder / "upper"), "work": str(folder / "work"),
        **layer_limits.of(container, host),
    }  # fmt: skip


def build_exec_plan(
    exec_id: str, body: Mapping[str, Any], config: Mapping[str, Any], host: Mapping[str, Any], hostname: str
) -> dict[str, Any]:
    """The plan of one more process. ``body`` is the document kept by the exec's creation."""
    environment = oci_spec.environment({**config, "Tty": body["Tty"]}, hostname)
    given = {entry.partition("=")[0] for entry in body["Env"]}
    options, capabilities = security_options.parse(host), oci_spec.capabilities(host)
    return {
        "exec_id": exec_id,
        "args": body["Cmd"],
        "env": [*(entry for entry in environment if entry.partition("=")[0] not in given), *body["Env"]],
        "cwd": body["WorkingDir"] or config["WorkingDir"] or "/",
        "user": body["User"] or config["User"],
        "groups": list(host.get("GroupAdd") or []),
        "tty": body["Tty"],
        "open_stdin": body["AttachStdin"],
        "privileged": body.get("Privileged", False),
        "capabilities": capabilities,
        "seccomp": filter_for(
            options, capabilities, privileged=bool(host.get("Privileged")), keeps_projects=bool(host.get("StorageOpt"))
        ),
        "no_new_privileges": options.no_new_privileges,
        "apparmor_profile": "" if body.get("Privileged") else security_options.apparmor_profile(host),
        "rlimits": oci_spec.rlimits(host),
    }
