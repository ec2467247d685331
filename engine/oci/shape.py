"""The shape of a config.json: whatever is read of it later has the type that the specification gives it.

Not the JSON schemas themselves, whose evaluation would take longer than a container's life; a test holds this table
against them. A property that is null counts as absent, as in Go.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TEXT, NUMBER, FLAG, ANY = "a text", "a whole number", "true or false", "anything"
_TYPES = {TEXT: str, NUMBER: int, FLAG: bool}
TEXTS, NUMBERS = [TEXT], [NUMBER]
TEXT_MAP = {"*": TEXT}

Shape = "Any"
"""A word of above; a list with the shape of its items; a dict with the shape of each property, or of all by "*". A name
that ends in "!" is required."""

_ID_MAP = [{"containerID!": NUMBER, "hostID!": NUMBER, "size!": NUMBER}]
_HOOKS = [{"path!": TEXT, "args": TEXTS, "env": TEXTS, "timeout": NUMBER}]
_THROTTLE = [{"major!": NUMBER, "minor!": NUMBER, "rate": NUMBER}]
_OFFSET = {"secs": NUMBER, "nanosecs": NUMBER}
_NUMBER_LIST = {"major": NUMBER, "minor": NUMBER}

PROCESS: Shape = {
    "terminal": FLAG, "consoleSize": {"height!": NUMBER, "width!": NUMBER}, "cwd!": TEXT, "env": TEXTS, "args": TEXTS,
    "user": {"uid": NUMBER, "gid": NUMBER, "umask": NUMBER, "additionalGids": NUMBERS, "username": TEXT},
    "capabilities": {name: TEXTS for name in ("bounding", "permitted", "effective", "inheritable", "ambient")},
    "rlimits": [{"type!": TEXT, "soft!": NUMBER, "hard!": NUMBER}], "noNewPrivileges": FLAG, "oomScoreAdj": NUMBER,
    "apparmorProfile": TEXT, "selinuxLabel": TEXT, "ioPriority": {"class!": TEXT, "priority": NUMBER},
    "scheduler": {
        "policy!": TEXT, "nice": NUMBER, "priority": NUMBER, "flags": TEXTS, "runtime": NUMBER, "deadline": NUMBER,
        "period": NUMBER,
    },
}  # fmt: skip
RESOURCES: Shape = {
    "devices": [{"allow!": FLAG, "type": TEXT, **_NUMBER_LIST, "access": TEXT}],
    "memory": {
        **{name: NUMBER for name in ("limit", "reservation", "swap", "kernel", "kernelTCP", "swappiness")},
        **{name: FLAG for name in ("disableOOMKiller", "useHierarchy", "checkBeforeUpdate")},
    },
    "cpu": {
        **{name: NUMBER for name in ("shares", "quota", "burst", "period", "realtimeRuntime", "realtimePeriod")},
        "idle": NUMBER, "cpus": TEXT, "mems": TEXT,
    },
    "pids": {"limit!": NUMBER},
    "blockIO": {
        "weight": NUMBER, "leafWeight": NUMBER,
        "weightDevice": [{"major!": NUMBER, "minor!": NUMBER, "weight": NUMBER, "leafWeight": NUMBER}],
        **{f"throttle{way}{unit}Device": _THROTTLE for way in ("Read", "Write") for unit in ("Bps", "IOPS")},
    },
    "hugepageLimits": [{"pageSize!": TEXT, "limit!": NUMBER}],
    "network": {"classID": NUMBER, "priorities": [{"name!": TEXT, "priority!": NUMBER}]},
    "rdma": {"*": {"hcaHandles": NUMBER, "hcaObjects": NUMBER}},
    "unified": TEXT_MAP,
}  # fmt: skip
_SECCOMP: Shape = {
    "defaultAction!": TEXT, "defaultErrnoRet": NUMBER, "architectures": TEXTS, "flags": TEXTS, "listenerPath": TEXT,
    "listenerMetadata": TEXT,
    "syscalls": [{
        "names!": TEXTS, "action!": TEXT, "errnoRet": NUMBER,
        "args": [{"index!": NUMBER, "value!": NUMBER, "valueTwo": NUMBER, "op!": TEXT}],
    }],
}  # fmt: skip
CONFIG: Shape = {
    "ociVersion!": TEXT, "process!": PROCESS, "root!": {"path!": TEXT, "readonly": FLAG}, "hostname": TEXT,
    "domainname": TEXT, "annotations": TEXT_MAP,
    "mounts": [{
        "destination!": TEXT, "source": TEXT, "options": TEXTS, "type": TEXT, "uidMappings": _ID_MAP,
        "gidMappings": _ID_MAP,
    }],
    "hooks": {
        name: _HOOKS
        for name in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
    },
    "linux": {
        "namespaces": [{"type!": TEXT, "path": TEXT}], "uidMappings": _ID_MAP, "gidMappings": _ID_MAP,
        "timeOffsets": {"monotonic": _OFFSET, "boottime": _OFFSET}, "cgroupsPath": TEXT, "resources": RESOURCES,
        "devices": [{
            "type!": TEXT, "path!": TEXT, **_NUMBER_LIST, "fileMode": NUMBER, "uid": NUMBER, "gid": NUMBER,
        }],
        "rootfsPropagation": TEXT, "seccomp": _SECCOMP, "sysctl": TEXT_MAP, "maskedPaths": TEXTS,
        "readonlyPaths": TEXTS, "mountLabel": TEXT, "personality": {"domain": TEXT, "flags": TEXTS},
    },
}  # fmt: skip


def check(value: object, shape: Shape, where: str) -> None:
    """Raises OSError that names the property. What the shape doesn't list is not looked at."""
    if isinstance(shape, str):
        wanted = _TYPES[shape]
        if type(value) is not wanted:
            raise OSError(errno.EINVAL, f"it must be {shape}", where)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise OSError(errno.EINVAL, "it must be a list", where)
        for index, item in enumerate(value):
            check(item, shape[0], f"{where}[{index}]")
    elif not isinstance(value, dict):
        raise OSError(errno.EINVAL, "it must be an object", where)
    elif "*" in shape:
        for name, item in value.items():
            check(item, shape["*"], f"{where}.{name}")
    else:
        _properties(value, shape, where)


def _properties(value: dict[str, Any], shape: dict[str, Shape], where: str) -> None:
    for name, wanted in shape.items():
        plain = name.rstrip("!")
        item = value.get(plain)
        if item is not None:
            check(item, wanted, f"{where}.{plain}" if where else plain)
        elif name != plain:
            raise OSError(errno.EINVAL, "it is missing", f"{where}.{plain}" if where else plain)
