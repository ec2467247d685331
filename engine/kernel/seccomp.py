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

import os

from engine.kernel import ctypes, json_text
from engine.kernel.digest import sha256_hex
from engine.kernel.libc import MACHINE, SYS_seccomp, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_COMPILER = 1  # to be raised with any change that changes programs: it is part of the digest

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
    from engine.kernel.syscall_table import MACHINES

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
        from engine.kernel.seccomp_rules import compile_rules  # most programs are kept from an earlier time

        program = compile_rules(seccomp, machine)
        if len(_programs) >= _KEPT_PROGRAMS:
            _programs.clear()
        _programs[key] = program
    return program


def digest(seccomp: dict, *, machine: str = MACHINE) -> str:
    """``sha256:...`` over all that the program depends on: profile after its conditions, machine, this compiler."""
    text = json_text.dumps_sorted([_COMPILER, machine, seccomp])
    return f"sha256:{sha256_hex(text.encode())}"


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
