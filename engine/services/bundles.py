"""``docket bundle export``: a container as the config.json of an OCI bundle that another runtime runs as it is."""

from __future__ import annotations

from typing import Any

from engine.domain.errors import NotSupported
from engine.kernel import seccomp
from engine.runtime.seccomp_profile import default_seccomp
from engine.services import mount_points, oci_spec, security_options, user_namespace
from engine.services.core import Core, resolve_container
from engine.services.files import Files
from engine.services.launch_plan import hostname_of, volume_folders


class Bundles:
    """Reads only. The root file system of a bundle is the container's export."""

    def __init__(self, core: Core, files: Files) -> None:
        self._core = core
        self._files = files

    def config(self, reference: str) -> dict[str, Any]:
        """The specification, with the user as numbers and ``rootfs`` beside it. Raises NotFound, NotSupported."""
        container = resolve_container(self._core.log, reference)
        settings = self._core.settings_of(container)
        config, host = settings["Config"], settings["HostConfig"]
        if user_namespace.is_asked_for(host):
            raise NotSupported("a bundle with a user namespace would need a root file system with shifted owners")
        config = {**config, "Hostname": hostname_of(container.id, config, host)}
        mounts = mount_points.parse(host, config)
        options = security_options.parse(host)
        spec = oci_spec.build(
            container.id, config, {**host, "Init": False}, mounts, volume_folders(self._core, container, mounts), {},
            options=options,
        )
        if options.apparmor is None:
            spec["process"].pop("apparmorProfile", None)  # a default of this host's, which another may not have
        user = self._files.user(container.id, config["User"], list(host.get("GroupAdd") or []))
        spec["process"]["user"] = user
        if not any(entry.startswith("HOME=") for entry in spec["process"]["env"]):
            spec["process"]["env"].append(f"HOME={user.pop('home')}")
        user.pop("home", None)
        if (profile := _seccomp(spec, host, options)) is not None:
            spec["linux"]["seccomp"] = profile
        for device in spec["linux"]["devices"]:
            device.pop("source", None)
        return spec


def _seccomp(
    spec: dict[str, Any], host: dict[str, Any], options: security_options.SecurityOptions
) -> dict[str, Any] | None:
    """``linux.seccomp``, its conditions played."""
    capabilities = spec["process"]["capabilities"]["bounding"]
    if isinstance(options.seccomp, dict):
        return seccomp.resolve(options.seccomp, capabilities)
    if options.seccomp == "unconfined" or host.get("Privileged"):
        return None
    return default_seccomp(capabilities)
