"""The JSON types of Docker's request bodies: a value of another type is refused by its name before anybody uses it.

A shape is a type (``str``, ``int``, ``bool``), a list with the shape of its elements, or an object: a dictionary with
the shapes of fields, or with ``"*"`` for that of every value. null stands for a field that was left out; fields that
no shape names are not looked at.
"""

from __future__ import annotations

from typing import Any, Mapping

from engine.domain.errors import InvalidArgument

_LARGEST = 2**63 - 1
"""Docker's integers have 64 bits."""
_NAMES = {str: "a string", int: "an integer", bool: "true or false"}

_TEXTS = [str]
_TEXT_MAP = {"*": str}
_RATES = [{"Path": str, "Rate": int}]
_MOUNT = {
    "Type": str, "Source": str, "Target": str, "ReadOnly": bool, "Consistency": str,
    "BindOptions": {
        "Propagation": str, "NonRecursive": bool, "CreateMountpoint": bool, "ReadOnlyNonRecursive": bool,
        "ReadOnlyForceRecursive": bool,
    },
    "VolumeOptions": {
        "NoCopy": bool, "Labels": _TEXT_MAP, "Subpath": str, "DriverConfig": {"Name": str, "Options": _TEXT_MAP},
    },
    "TmpfsOptions": {"SizeBytes": int, "Mode": int},
}  # fmt: skip
ENDPOINT = {
    "IPAMConfig": {"IPv4Address": str, "IPv6Address": str, "LinkLocalIPs": _TEXTS}, "Aliases": _TEXTS, "Links": _TEXTS,
    "MacAddress": str, "DriverOpts": _TEXT_MAP,
}  # fmt: skip
LIMITS = {
    "CpuShares": int, "Memory": int, "CgroupParent": str, "BlkioWeight": int,
    "BlkioWeightDevice": [{"Path": str, "Weight": int}], "BlkioDeviceReadBps": _RATES, "BlkioDeviceWriteBps": _RATES,
    "BlkioDeviceReadIOps": _RATES, "BlkioDeviceWriteIOps": _RATES, "CpuPeriod": int, "CpuQuota": int,
    "CpuRealtimePeriod": int, "CpuRealtimeRuntime": int, "CpusetCpus": str, "CpusetMems": str,
    "Devices": [{"PathOnHost": str, "PathInContainer": str, "CgroupPermissions": str}], "DeviceCgroupRules": _TEXTS,
    "MemoryReservation": int, "MemorySwap": int, "MemorySwappiness": int, "NanoCpus": int, "OomKillDisable": bool,
    "Init": bool, "PidsLimit": int, "Ulimits": [{"Name": str, "Soft": int, "Hard": int}],
    "RestartPolicy": {"Name": str, "MaximumRetryCount": int},
}  # fmt: skip
_HOST = {
    **LIMITS,
    "Binds": _TEXTS, "ContainerIDFile": str, "LogConfig": {"Type": str, "Config": _TEXT_MAP}, "NetworkMode": str,
    "PortBindings": {"*": [{"HostIp": str, "HostPort": str}]}, "AutoRemove": bool, "VolumeDriver": str,
    "VolumesFrom": _TEXTS, "Mounts": [_MOUNT], "Annotations": _TEXT_MAP, "CapAdd": _TEXTS, "CapDrop": _TEXTS,
    "CgroupnsMode": str, "Dns": _TEXTS, "DnsOptions": _TEXTS, "DnsSearch": _TEXTS, "ExtraHosts": _TEXTS,
    "GroupAdd": _TEXTS, "IpcMode": str, "Cgroup": str, "Links": _TEXTS, "OomScoreAdj": int, "PidMode": str,
    "Privileged": bool, "PublishAllPorts": bool, "ReadonlyRootfs": bool, "SecurityOpt": _TEXTS,
    "StorageOpt": _TEXT_MAP, "Tmpfs": _TEXT_MAP, "UTSMode": str, "UsernsMode": str, "ShmSize": int,
    "Sysctls": _TEXT_MAP, "Runtime": str, "Isolation": str, "MaskedPaths": _TEXTS, "ReadonlyPaths": _TEXTS,
}  # fmt: skip
CONTAINER = {
    "Hostname": str, "Domainname": str, "User": str, "AttachStdin": bool, "AttachStdout": bool, "AttachStderr": bool,
    "ExposedPorts": {}, "Tty": bool, "OpenStdin": bool, "StdinOnce": bool, "Env": _TEXTS, "Image": str, "Volumes": {},
    "WorkingDir": str, "NetworkDisabled": bool, "MacAddress": str, "OnBuild": _TEXTS, "Labels": _TEXT_MAP,
    "StopSignal": str, "StopTimeout": int, "Shell": _TEXTS, "HostConfig": _HOST,
    "NetworkingConfig": {"EndpointsConfig": {"*": ENDPOINT}},
}  # fmt: skip
EXEC = {
    "AttachStdin": bool, "AttachStdout": bool, "AttachStderr": bool, "DetachKeys": str, "Tty": bool, "Env": _TEXTS,
    "Cmd": _TEXTS, "Privileged": bool, "User": str, "WorkingDir": str,
}  # fmt: skip
VOLUME = {"Name": str, "Driver": str, "DriverOpts": _TEXT_MAP, "Labels": _TEXT_MAP}
NETWORK = {
    "Name": str, "Driver": str, "Scope": str, "Internal": bool, "Attachable": bool, "Ingress": bool,
    "ConfigOnly": bool, "ConfigFrom": {"Network": str}, "EnableIPv4": bool, "EnableIPv6": bool, "Options": _TEXT_MAP,
    "Labels": _TEXT_MAP,
    "IPAM": {
        "Driver": str, "Options": _TEXT_MAP,
        "Config": [{"Subnet": str, "IPRange": str, "Gateway": str, "AuxiliaryAddresses": _TEXT_MAP}],
    },
}  # fmt: skip

Shape = type | list[Any] | Mapping[str, Any]


def check(value: Any, shape: Shape, where: str = "") -> None:
    """Raises InvalidArgument; ``where`` is what the value is called."""
    if value is None:
        return
    if isinstance(shape, type):
        _check_plain(value, shape, where)
    elif isinstance(shape, list):
        if not isinstance(value, list) or None in value:
            raise InvalidArgument(f"{where} must be a list, and null no element of it")
        for number, element in enumerate(value):
            check(element, shape[0], f"{where}[{number}]")
    else:
        if not isinstance(value, dict):
            raise InvalidArgument(f"{where or 'the body'} must be an object")
        _check_fields(value, shape, f"{where}." if where else "")


def _check_fields(value: Mapping[str, Any], shape: Mapping[str, Any], where: str) -> None:
    if (every := shape.get("*")) is None:
        for name in shape.keys() & value.keys():
            check(value[name], shape[name], where + name)
        return
    for name, one in value.items():
        if one is None and isinstance(every, type):
            raise InvalidArgument(f"{where}{name} must be {_NAMES[every]}, not null")
        check(one, every, where + name)


def _check_plain(value: Any, shape: type, where: str) -> None:
    if type(value) is not shape:
        raise InvalidArgument(f"{where} must be {_NAMES[shape]}, not {value!r:.40}")
    if shape is int and abs(value) > _LARGEST:
        raise InvalidArgument(f"{where} is beyond 64 bits: {value!r:.40}")
    if shape is str and "\0" in value:
        raise InvalidArgument(f"{where} holds a NUL character")
