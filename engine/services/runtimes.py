"""The OCI runtimes that a container can be made with: the engine's own, those of the settings file by Docker's keys,
and runc and crun where they are on the path."""

from __future__ import annotations

import os
import shutil
from typing import Any, Mapping, NamedTuple

from engine.domain.errors import InvalidArgument, NotSupported
from engine.kernel import seccomp
from engine.runtime.seccomp_profile import default_seccomp
from engine.services import clock_offsets, mount_points, user_namespace
from engine.services.security_options import SecurityOptions

OWN = "docket"
_ON_THE_PATH = ("runc", "crun")
_NO_SUCH = "unknown or invalid runtime name: {}"


class OtherRuntime(NamedTuple):
    """``path`` is absolute, or a name to be looked up on the path."""

    path: str
    arguments: tuple[str, ...] = ()


class Runtimes(NamedTuple):
    """``configured`` by name, those of the settings file."""

    configured: Mapping[str, OtherRuntime] = {}
    default: str = OWN

    def find(self, name: str) -> OtherRuntime | None:
        """None for our own. Raises InvalidArgument for what there is not."""
        if name in ("", OWN):
            return None
        if name not in self.configured and name not in _ON_THE_PATH:
            raise InvalidArgument(_NO_SUCH.format(name))
        found = self.configured.get(name) or OtherRuntime(name)
        path = shutil.which(found.path)
        if path is None and name in self.configured:
            raise InvalidArgument(f"{_NO_SUCH.format(name)}: there is no program {found.path}")
        if path is None:
            raise InvalidArgument(f"{_NO_SUCH.format(name)}: it is neither in the settings nor on the path")
        return found._replace(path=os.path.realpath(path))

    def public(self) -> dict[str, dict[str, Any]]:
        """As ``docket info`` lists them."""
        found: dict[str, dict[str, Any]] = {OWN: {"path": ""}}
        for name in _ON_THE_PATH:
            if path := shutil.which(name):
                found[name] = {"path": path}
        for name, runtime in self.configured.items():
            arguments = {"runtimeArgs": list(runtime.arguments)} if runtime.arguments else {}
            found[name] = {"path": runtime.path, **arguments}
        return found

    def choose(self, host: dict[str, Any], config: Mapping[str, Any]) -> None:
        """The default where nobody asks for one; and whether the container can be had with it. Raises InvalidArgument,
        NotSupported."""
        if not host.get("Runtime") and self.default != OWN:
            host["Runtime"] = self.default
        name = host.get("Runtime") or ""
        if self.find(name) is None:
            return
        mounts = mount_points.parse(host, config)
        ours_alone = (
            ("--init", bool(host.get("Init"))),
            ("--userns", user_namespace.is_asked_for(host)),
            ("--time-offset", bool(clock_offsets.offsets(host))),
            ("--ipc container:", (host.get("IpcMode") or "").startswith("container:")),
            ("a part of a volume", any(mount.subpath for mount in mounts)),
            ("a mount that is shared with the host", any("shared" in mount.propagation for mount in mounts)),
        )
        for what, is_asked in ours_alone:
            if is_asked:
                raise NotSupported(f"{what} takes the engine's own runtime: it can't be had with --runtime {name}")


def parse_runtimes(configured: object, default: object) -> Runtimes:
    """Docker's settings "runtimes" and "default-runtime". Raises InvalidArgument."""
    found: dict[str, OtherRuntime] = {}
    if configured is not None and not isinstance(configured, dict):
        raise InvalidArgument('"runtimes" must be an object')
    for name, entry in (configured or {}).items():
        if not isinstance(entry, dict) or not isinstance(path := entry.get("path"), str) or not path:
            raise InvalidArgument(f'"runtimes": {name} needs a "path"')
        if unknown := sorted(entry.keys() - {"path", "runtimeArgs"}):
            raise InvalidArgument(f'"runtimes": {name}: "{unknown[0]}" is not supported: known are path, runtimeArgs')
        arguments = entry.get("runtimeArgs") or []
        if not isinstance(arguments, list) or not all(isinstance(word, str) for word in arguments):
            raise InvalidArgument(f'"runtimes": {name}: "runtimeArgs" must be a list of strings')
        if name == OWN:
            raise InvalidArgument(f'"runtimes": {OWN} is the engine\'s own')
        found[name] = OtherRuntime(path, tuple(arguments))
    if default is None:
        return Runtimes(found)
    if not isinstance(default, str) or default not in (OWN, *_ON_THE_PATH, *found):
        raise InvalidArgument(f'"default-runtime": there is no runtime {default!r}')
    return Runtimes(found, default)


def plan(
    runtimes: Runtimes, host: Mapping[str, Any], spec: dict[str, Any], options: SecurityOptions
) -> dict[str, Any]:
    """What of a launch plan is for another runtime; nothing for our own. Changes the specification."""
    runtime = runtimes.find(host.get("Runtime") or "")
    if runtime is None:
        return {}
    linux = spec["linux"]
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "time"]
    capabilities = spec["process"]["capabilities"]["bounding"]
    profile = None
    if isinstance(options.seccomp, dict):
        profile = seccomp.resolve(options.seccomp, capabilities)
    elif options.seccomp != "unconfined" and not host.get("Privileged"):
        profile = default_seccomp(capabilities, keeps_projects=bool(host.get("StorageOpt")))
    return {
        "oci_runtime": {"path": runtime.path, "arguments": list(runtime.arguments)}, "seccomp_profile": profile,
    }  # fmt: skip
