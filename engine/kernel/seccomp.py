"""Seccomp filters (seccomp(2)): from a profile to a program in the kernel.

    resolve(profile, capabilities)   Docker's format, with its conditions, -> the OCI specification's linux.seccomp
    compile_filter(seccomp)          -> BPF, kept by the digest of everything that it depends on
    install(program, flags)          into the calling process, for good

Meanings are libseccomp's and runc's, so that one profile does the same everywhere: names that the table doesn't have
are skipped, a rule that says what the default says is dropped, a rule without comparisons beats all others of its call,
several comparisons of one argument are alternatives, and calls newer than the profile get ENOSYS, which programs take
as a reason to fall back, where EPERM would break them.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Collection, Iterable

from engine.kernel.digest import sha256_hex
from engine.kernel.libc import MACHINE, SYS_seccomp, syscall
from engine.kernel.seccomp_program import KILL_THREAD, OPERATORS, Comparison, Rule, Section, assemble
from engine.kernel.syscall_table import (
    ARCHITECTURES, FOREIGN_ARCHITECTURES, INT_ARGUMENTS, MACHINES, Architecture, numbers,
)  # fmt: skip

_COMPILER = 1  # to be raised with any change that changes programs: it is part of the digest

_EPERM, _ENOSYS = 1, 38
_MAXIMUM_ERRNO = 4095
_ALLOW, _LOG, _TRACE, _ERRNO, _NOTIFY = 0x7FFF0000, 0x7FFC0000, 0x7FF00000, 0x00050000, 0x7FC00000
_ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": _ERRNO,
    "SCMP_ACT_NOTIFY": _NOTIFY,
    "SCMP_ACT_TRACE": _TRACE,
    "SCMP_ACT_LOG": _LOG,
    "SCMP_ACT_ALLOW": _ALLOW,
}
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}
_NEW_LISTENER, _TSYNC, _TSYNC_ESRCH = 8, 1, 16
_SET_MODE_FILTER = 1

_programs: dict[str, bytes] = {}
_KEPT_PROGRAMS = 64


# --- Docker's profiles --------------------------------------------------------------------------------------------


def resolve(
    profile: dict, capabilities: Collection[str], *, machine: str = MACHINE, kernel: str | None = None
) -> dict:
    """Play the conditions of a profile for a container with this bounding set on this machine.

    ``kernel`` is uname's release. ValueError for a profile that contradicts itself.
    """
    if profile.get("architectures") and profile.get("archMap"):
        raise ValueError("the seccomp profile has both architectures and archMap, use one of them")
    name, (native, *_) = MACHINES[machine]
    release = _version(kernel or os.uname().release)
    architectures = list(profile.get("architectures") or ())
    for entry in profile.get("archMap") or ():
        if entry.get("architecture") == native:
            architectures = [native, *(entry.get("subArchitectures") or ())]
    rules = []
    for entry in profile.get("syscalls") or ():
        if entry.get("name") and entry.get("names"):
            raise ValueError("a rule of the seccomp profile has both name and names, use one of them")
        if _applies(entry, name, frozenset(capabilities), release):
            rule = {key: entry[key] for key in ("action", "errnoRet", "args") if entry.get(key) is not None}
            rules.append({"names": entry.get("names") or [entry.get("name")], **rule})
    resolved = {key: profile[key] for key in _PROFILE_KEYS if profile.get(key) is not None}
    return {**resolved, "architectures": architectures, "syscalls": rules}


_PROFILE_KEYS = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")


def _applies(entry: dict, machine: str, capabilities: frozenset[str], release: tuple[int, ...]) -> bool:
    """``excludes``: none may hold. ``includes``: the machine is listed, all capabilities held, the kernel new."""
    excludes, includes = entry.get("excludes") or {}, entry.get("includes") or {}
    if machine in (excludes.get("arches") or ()) or capabilities & set(excludes.get("caps") or ()):
        return False
    if excludes.get("minKernel") and release >= _version(excludes["minKernel"]):
        return False
    if includes.get("arches") and machine not in includes["arches"]:
        return False
    if includes.get("minKernel") and release < _version(includes["minKernel"]):
        return False
    return capabilities.issuperset(includes.get("caps") or ())


def _version(release: str) -> tuple[int, ...]:
    """``6.1.0-18-amd64`` -> (6, 1). Only two numbers count, as for Docker."""
    try:
        major, minor = release.split("-")[0].split("+")[0].split(".")[:2]
        return int(major), int(minor)
    except ValueError as error:
        raise ValueError(f'"{release}" is not a kernel version') from error


# --- compilation --------------------------------------------------------------------------------------------------


def compile_filter(seccomp: dict, *, machine: str = MACHINE) -> bytes:
    """The program of a ``linux.seccomp``. ValueError names what in it is not understood."""
    key = digest(seccomp, machine=machine)
    program = _programs.get(key)
    if program is None:
        program = assemble(_sections(seccomp, machine))
        if len(_programs) >= _KEPT_PROGRAMS:
            _programs.clear()
        _programs[key] = program
    return program


def digest(seccomp: dict, *, machine: str = MACHINE) -> str:
    """``sha256:...`` over all that the program depends on: profile after its conditions, machine, this compiler."""
    text = json.dumps([_COMPILER, machine, seccomp], sort_keys=True, separators=(",", ":"))
    return f"sha256:{sha256_hex(text.encode())}"


def _sections(seccomp: dict, machine: str) -> list[Section]:
    default = _answer(seccomp.get("defaultAction"), seccomp.get("defaultErrnoRet"))
    if default == _NOTIFY:
        raise ValueError("SCMP_ACT_NOTIFY can't be the default action: nothing could hand over the listener")
    is_permissive = default & 0xFFFF0000 in (_ALLOW, _LOG, _TRACE)
    beyond = default if is_permissive else _ERRNO | _ENOSYS
    rules = [rule for entry in seccomp.get("syscalls") or () for rule in _rules(entry, default)]
    chosen = _architectures(seccomp.get("architectures") or (), machine)
    ends = {"SCMP_ARCH_X86_64": ARCHITECTURES["SCMP_ARCH_X32"].first}
    return [
        Section(architecture.audit, architecture.first, ends.get(name, 1 << 32), _by_number(rules, architecture),
                default, beyond)
        for name, architecture in chosen.items()
    ]  # fmt: skip


def _architectures(names: Iterable[str], machine: str) -> dict[str, Architecture]:
    """The native one always, and those of the profile that can run on this machine."""
    _, possible = MACHINES[machine]
    for name in names:
        if name not in ARCHITECTURES and name not in FOREIGN_ARCHITECTURES:
            raise ValueError(f'unknown architecture "{name}" in the seccomp profile')
    return {name: ARCHITECTURES[name] for name in possible if name == possible[0] or name in names}


def _answer(action: str | None, errno_return: int | None) -> int:
    if action not in _ACTIONS:
        raise ValueError(f'unknown action "{action}" in the seccomp profile')
    answer = _ACTIONS[action]
    if answer not in (_ERRNO, _TRACE):
        return answer
    value = _EPERM if errno_return is None else errno_return
    limit = _MAXIMUM_ERRNO if answer == _ERRNO else 0xFFFF
    if not 0 <= value <= limit:
        raise ValueError(f"errnoRet {value} of {action} in the seccomp profile is not between 0 and {limit}")
    return answer | value


def _rules(entry: dict, default: int) -> list[tuple[str, list[tuple], int]]:
    """A rule of the specification as (call, comparisons, answer) for each call and each alternative."""
    answer = _answer(entry.get("action"), entry.get("errnoRet"))
    comparisons = [_parse_comparison(argument) for argument in entry.get("args") or ()]
    if answer == default:
        return []
    if answer == _NOTIFY and "write" in entry["names"]:
        raise ValueError("SCMP_ACT_NOTIFY can't be used for write: it hands over the listener")
    indexes = [comparison[0] for comparison in comparisons]
    alternatives = [[one] for one in comparisons] if len(set(indexes)) < len(indexes) else [comparisons]
    return [(name, alternative, answer) for alternative in alternatives for name in entry["names"]]


def _parse_comparison(argument: dict) -> tuple[int, str, int, int]:
    index, operator = argument["index"], str(argument["op"]).removeprefix("SCMP_CMP_")
    if not 0 <= index <= 5:
        raise ValueError(f"argument {index} in the seccomp profile: calls have arguments 0 to 5")
    if operator not in OPERATORS:
        raise ValueError(f'unknown operator "{argument["op"]}" in the seccomp profile')
    return index, operator, argument["value"], argument.get("valueTwo") or 0


def _by_number(rules: list[tuple[str, list[tuple], int]], architecture: Architecture) -> dict[int, tuple[Rule, ...]]:
    table = numbers(architecture)
    found: dict[int, list[Rule]] = {}
    for name, comparisons, answer in rules:
        number = table.get(name)
        if number is None:
            continue
        ints = INT_ARGUMENTS.get(name, ())
        made = tuple(
            Comparison(*each, low_half=not architecture.is_64_bit or each[0] in ints) for each in comparisons
        )
        found.setdefault(number, []).append(Rule(made, answer))
    return {number: _strongest(each) for number, each in found.items()}


def _strongest(rules: list[Rule]) -> tuple[Rule, ...]:
    """The first rule without comparisons stands for all rules of its call."""
    return next(((rule,) for rule in rules if not rule.comparisons), tuple(rules))


# --- installation -------------------------------------------------------------------------------------------------


class sock_fprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def wants_listener(seccomp: dict) -> bool:
    """Whether a rule asks a user-space agent, so that ``install`` must make a listener."""
    return any(entry.get("action") == "SCMP_ACT_NOTIFY" for entry in seccomp.get("syscalls") or ())


def check_flags(flags: Iterable[str]) -> int:
    """The bits of seccomp(2). ValueError for a flag that is not known."""
    bits = 0
    for flag in flags:
        if flag not in FLAGS:
            raise ValueError(f'unknown seccomp flag "{flag}"')
        bits |= FLAGS[flag]
    return bits


def install(program: bytes, flags: Iterable[str] = (), *, listener: bool = False) -> int | None:
    """Load the filter into the caller; with ``listener`` the descriptor on which its notifications come.

    EACCES without CAP_SYS_ADMIN, unless no_new_privs is set: load before dropping capabilities where it isn't, and as
    late as possible where it is. What comes afterwards must pass the filter, execve(2) included.
    """
    bits = check_flags(flags) | (_NEW_LISTENER if listener else 0)
    if listener and bits & _TSYNC:
        bits |= _TSYNC_ESRCH  # with a listener the return value is its descriptor and no longer a thread
    code = ctypes.create_string_buffer(program, len(program))
    fprog = sock_fprog(len(program) // 8, ctypes.addressof(code))
    result = syscall(SYS_seccomp, _SET_MODE_FILTER, bits, ctypes.byref(fprog), subject="seccomp filter")
    return result if listener else None
