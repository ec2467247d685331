"""The engine itself: version and info. What the host is, is read from the host; the rest comes from the services."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from typing import Any, Mapping

from engine import __version__
from engine.api import API_VERSION, MIN_API_VERSION
from engine.api.times import rfc3339nano
from engine.api.views.docker_defaults import STORAGE_DRIVER
from engine.kernel import apparmor

_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def go_architecture() -> str:
    """The machine's name in images and in Docker's answers."""
    machine = os.uname().machine
    return _GO_ARCHITECTURES.get(machine, machine)


@functools.cache
def _os_release() -> Mapping[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:  # the file is optional
        return {}


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def version() -> dict[str, Any]:
    api, oldest = ("{}.{}".format(*pair) for pair in (API_VERSION, MIN_API_VERSION))
    kernel = os.uname().release
    details = {
        "ApiVersion": api,
        "Arch": go_architecture(),
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": "",
        "KernelVersion": kernel,
        "MinAPIVersion": oldest,
        "Os": "linux",
        "PythonVersion": platform.python_version(),
    }
    return {
        "Platform": {"Name": "Docket"},
        "Components": [{"Name": "Engine", "Version": __version__, "Details": details}],
        "Version": __version__,
        "ApiVersion": api,
        "MinAPIVersion": oldest,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": go_architecture(),
        "KernelVersion": kernel,
    }


def info(facts: Mapping[str, Any], now_us: int) -> dict[str, Any]:
    """Docker's info. ``facts`` are the services' own, under Docker's names, and win over what is said here."""
    host, release = os.uname(), _os_release()
    return {
        "ID": hashlib.sha256(f"{host.nodename}:{facts['DockerRootDir']}".encode()).hexdigest()[:32],
        "Driver": STORAGE_DRIVER,
        **_ABILITIES,
        "IPv4Forwarding": _sysctl_is_set("/proc/sys/net/ipv4/ip_forward"),
        "BridgeNfIptables": _sysctl_is_set("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        "BridgeNfIp6tables": _sysctl_is_set("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": len(os.listdir("/proc/self/task")),
        "SystemTime": rfc3339nano(now_us),
        "KernelVersion": host.release,
        "OperatingSystem": release.get("PRETTY_NAME", "Linux"),
        "OSVersion": release.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": host.machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": _memory_bytes(),
        "Name": host.nodename,
        "ServerVersion": __version__,
        **_SAME_FOR_ALL,
        **facts,
    }


_ABILITIES: Mapping[str, Any] = {
    "Plugins": {
        "Volume": ["local"], "Network": ["bridge", "host", "null"], "Authorization": None,
        "Log": ["json-file", "local"],
    },
    "LoggingDriver": "json-file",
    "CgroupDriver": "cgroupfs",
    "LiveRestoreEnabled": True,
    "SecurityOptions": [
        *(["name=apparmor"] if apparmor.is_enabled() else []), "name=seccomp,profile=builtin", "name=cgroupns",
    ],
}
"""What is so on every host; for an ordinary user's engine, services correct it."""

_SAME_FOR_ALL: Mapping[str, Any] = {
    "Debug": False,
    "IndexServerAddress": "https://index.docker.io/v1/",
    "GenericResources": None,
    "Labels": [],
    "ExperimentalBuild": False,
    "Swarm": {
        "NodeID": "",
        "NodeAddr": "",
        "LocalNodeState": "inactive",
        "ControlAvailable": False,
        "Error": "",
        "RemoteManagers": None,
    },
    "Isolation": "",
    "InitBinary": "",
    "ContainerdCommit": {"ID": "", "Expected": ""},
    "RuncCommit": {"ID": "", "Expected": ""},
    "InitCommit": {"ID": "", "Expected": ""},
    "CDISpecDirs": [],
}


def _sysctl_is_set(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() == "1"
    except FileNotFoundError:  # the module is not loaded
        return False
