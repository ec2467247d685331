"""What a service mounts: Binds, Mounts, Tmpfs and VolumesFrom, and the secrets and configs that are files.

Docker Compose uses the old notation of binds wherever that can say it, since only it makes missing folders of the host.
"""

from __future__ import annotations

from engine.compose.project import ComposeError, Project
from engine.compose.bodies.values import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

    Json = dict[str, Any]


def storage(
    project: Project, service: Mapping[str, Any], anonymous: Mapping[str, str], containers: Mapping[str, str]
) -> Json:
    """``anonymous`` are volumes to take over from a container before this one, by their place. Raises ComposeError."""
    binds: list[str] = []
    mounts: list[Json] = []
    places = set()
    for volume in service.get("volumes") or ():
        places.add(volume["target"])
        if (bind := _bind(project, volume)) is not None:
            binds.append(bind)
        else:
            mounts.append(_mount(project, volume, anonymous))
    for place, name in sorted(anonymous.items()):  # those that the image declares
        if place not in places:
            mounts.append({"Type": "volume", "Source": name, "Target": place})
    return {
        "Binds": binds,
        "Mounts": mounts + file_mounts(project, service),
        "Tmpfs": dict(text.partition(":")[::2] for text in service.get("tmpfs") or ()),
        "VolumesFrom": volumes_from(service, containers),
    }


def volume_name(project: Project, key: str) -> str:
    """The engine's name of one of the project's volumes. Raises ComposeError for one that the file doesn't have."""
    found = (project.model.get("volumes") or {}).get(key)
    if found is None:
        raise ComposeError(f"a service refers to undefined volume {key}: invalid compose project")
    return found["name"]


def _bind(project: Project, volume: Mapping[str, Any]) -> str | None:
    """The volume as "source:target:options"; None where that can't say it."""
    kind, source, own = volume["type"], volume.get("source"), volume.get("volume") or {}
    bind = volume.get("bind", {"create_host_path": True})  # so it is where nothing is said of the bind
    if kind == "bind" and (not bind.get("create_host_path") or bind.get("recursive")):
        return None
    if kind == "volume":
        if not source or own.get("subpath") or own.get("labels"):
            return None
        source = volume_name(project, source)
    if kind not in ("bind", "volume"):
        return None
    options = ["ro" if volume.get("read_only") else "rw"]
    options += [value for value in (bind.get("selinux"), bind.get("propagation")) if value]
    options += ["nocopy"] if own.get("nocopy") else []
    return f"{source}:{volume['target']}:{','.join(options)}"


def _mount(project: Project, volume: Mapping[str, Any], anonymous: Mapping[str, str]) -> Json:
    kind, source = volume["type"], volume.get("source")
    mount: Json = {"Type": kind, "Target": volume["target"]}
    if kind == "volume":
        source = volume_name(project, source) if source else anonymous.get(volume["target"])
    if source:
        mount["Source"] = source
    if volume.get("read_only"):
        mount["ReadOnly"] = True
    if volume.get("consistency"):
        mount["Consistency"] = volume["consistency"]
    options = {"bind": _bind_options, "volume": _volume_options, "tmpfs": _tmpfs_options, "image": _image_options}
    if kind in options and (found := options[kind](volume.get(kind) or {})):
        mount[f"{kind.capitalize()}Options"] = found
    return mount


def _bind_options(given: Mapping[str, Any]) -> Json:
    found: Json = {"Propagation": given["propagation"]} if given.get("propagation") else {}
    if given.get("create_host_path"):
        found["CreateMountpoint"] = True
    recursive = {"disabled": "NonRecursive", "writable": "ReadOnlyNonRecursive", "readonly": "ReadOnlyForceRecursive"}
    if given.get("recursive") in recursive:
        found[recursive[given["recursive"]]] = True
    return found


def _volume_options(given: Mapping[str, Any]) -> Json:
    found: Json = {"NoCopy": True} if given.get("nocopy") else {}
    if given.get("subpath"):
        found["Subpath"] = given["subpath"]
    if given.get("labels"):
        found["Labels"] = dict(given["labels"])
    return found


def _tmpfs_options(given: Mapping[str, Any]) -> Json:
    found: Json = {"SizeBytes": whole(given["size"], "tmpfs.size")} if given.get("size") else {}
    if given.get("mode"):
        found["Mode"] = whole(given["mode"], "tmpfs.mode")
    return found


def _image_options(given: Mapping[str, Any]) -> Json:
    return {"Subpath": given["subpath"]} if given.get("subpath") else {}


def volumes_from(service: Mapping[str, Any], containers: Mapping[str, str]) -> list[str]:
    """HostConfig.VolumesFrom: "db:ro" is a service, "container:name:ro" is not. Raises ComposeError."""
    found = []
    for text in service.get("volumes_from") or ():
        if text.startswith("container:"):
            found.append(text.removeprefix("container:"))
            continue
        name, colon, mode = text.partition(":")
        if name not in containers:
            raise ComposeError(f"volumes_from: there is no container of service {name}")
        found.append(containers[name] + colon + mode)
    return found


# --- secrets and configs ---------------------------------------------------------------------------------------------


def file_mounts(project: Project, service: Mapping[str, Any]) -> list[Json]:
    """Secrets and configs that lie in files of the host: read-only binds. Raises ComposeError."""
    found = []
    for kind in ("secret", "config"):
        for use in service.get(f"{kind}s") or ():
            source = definition(project, kind, use["source"])
            if source.get("file"):
                place = place_of(kind, use)
                found.append({"Type": "bind", "Source": source["file"], "Target": place, "ReadOnly": True})
    return found


def definition(project: Project, kind: str, key: str) -> Mapping[str, Any]:
    """A secret or config of the project. Raises ComposeError for what there is not, and for external ones."""
    found = (project.model.get(f"{kind}s") or {}).get(key)
    if found is None:
        raise ComposeError(f"a service refers to undefined {kind} {key}: invalid compose project")
    if found.get("external"):
        raise ComposeError(f"unsupported external {kind} {found.get('name') or key}: this engine keeps no {kind}s")
    return found


def place_of(kind: str, use: Mapping[str, Any]) -> str:
    """Where it is in the container: secrets below /run/secrets, configs in the root, unless the target is absolute."""
    target = use.get("target") or use["source"]
    if target.startswith("/"):
        return target
    return f"/run/secrets/{target}" if kind == "secret" else f"/{target}"
