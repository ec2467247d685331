"""The specification that a container's settings become: Docker's defaults for isolation, nothing more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.domain.errors import InvalidArgument
from engine.services import mount_points, oci_spec
from engine.services.container_config import normalize

ID = "ab" * 32


def build(**body: Any) -> dict[str, Any]:
    host = {"NetworkMode": "none", **body.get("HostConfig", {})}
    settings = normalize({"Cmd": ["sh"], **body, "HostConfig": host}, {})
    folders = {mount.destination: Path("/volumes/x") for mount in settings.mounts if mount.type == "volume"}
    files = {"/etc/hosts": Path("/containers/x/hosts")}
    return oci_spec.build(ID, settings.config, settings.host_config, settings.mounts, folders, files)


def test_defaults_are_dockers() -> None:
    spec = build()
    assert spec["hostname"] == ID[:12]
    assert {entry["type"] for entry in spec["linux"]["namespaces"]} == {
        "mount", "pid", "uts", "ipc", "cgroup", "network",
    }  # fmt: skip
    assert spec["process"]["capabilities"]["bounding"] == list(oci_spec.DEFAULT_CAPABILITIES)
    assert "inheritable" not in spec["process"]["capabilities"]
    assert spec["linux"]["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert "/proc/kcore" in spec["linux"]["maskedPaths"] and "/proc/sys" in spec["linux"]["readonlyPaths"]
    assert spec["process"]["env"] == [oci_spec.DEFAULT_PATH, f"HOSTNAME={ID[:12]}"]


def test_host_network_shares_only_the_network() -> None:
    kinds = {entry["type"] for entry in build(HostConfig={"NetworkMode": "host"})["linux"]["namespaces"]}
    assert kinds == {"mount", "pid", "uts", "ipc", "cgroup"}


@pytest.mark.parametrize(
    "add, drop, gained, lost",
    [
        (["NET_ADMIN"], [], "CAP_NET_ADMIN", ""),
        (["cap_sys_time"], [], "CAP_SYS_TIME", ""),
        ([], ["CHOWN"], "", "CAP_CHOWN"),
        ([], ["ALL"], "", "CAP_KILL"),
        (["ALL"], ["SYS_ADMIN"], "CAP_BPF", "CAP_SYS_ADMIN"),
        (["CHOWN"], ["ALL"], "CAP_CHOWN", "CAP_KILL"),
    ],
)
def test_capabilities(add: list[str], drop: list[str], gained: str, lost: str) -> None:
    chosen = oci_spec.capabilities({"CapAdd": add, "CapDrop": drop})
    assert (not gained or gained in chosen) and lost not in chosen


def test_an_unknown_capability_is_named() -> None:
    with pytest.raises(InvalidArgument, match='invalid CapDrop: unknown capability: "CAP_FLY"'):
        oci_spec.capabilities({"CapDrop": ["FLY"]})


@pytest.mark.parametrize("name", ["kernel.core_pattern", "vm.swappiness", "net..core", "fs.file-max"])
def test_only_namespaced_sysctls(name: str) -> None:
    with pytest.raises(InvalidArgument):
        oci_spec.sysctls({"Sysctls": {name: "1"}})


def test_environment_of_the_request_wins_and_a_bare_name_unsets() -> None:
    config = {"Tty": True, "Env": ["PATH=/x", "TERM", "A=b=c"]}
    assert oci_spec.environment(config, "h") == ["PATH=/x", "HOSTNAME=h", "A=b=c"]


def test_mounts_of_the_user_come_last_and_replace_those_of_the_system() -> None:
    spec = build(HostConfig={"Binds": ["data:/dev/shm", "/srv:/srv:ro"], "Tmpfs": {"/run": "size=1m"}})
    destinations = [mount["destination"] for mount in spec["mounts"]]
    assert destinations.count("/dev/shm") == 1 and destinations[-3:] == ["/srv", "/run", "/dev/shm"]
    by_destination = {mount["destination"]: mount for mount in spec["mounts"]}
    assert "ro" in by_destination["/srv"]["options"]
    assert by_destination["/run"]["type"] == "tmpfs" and "size=1m" in by_destination["/run"]["options"]
    assert mount_points.parse({}, {}) == ()
