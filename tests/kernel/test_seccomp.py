"""Seccomp: what profiles mean, that programs say the same, and that the kernel holds containers to it."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import random
import select
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.forked import ChildFailed, in_child

from bpf_machine import decode, run
from engine.kernel import seccomp, seccomp_rules
from engine.kernel.libc import LIBC, MACHINE
from engine.kernel.process import set_no_new_privileges
from engine.kernel.syscall_table import ARCHITECTURES, INT_ARGUMENTS, MACHINES, X32_BIT, numbers
from engine.runtime import seccomp_profile
from engine.runtime.seccomp_profile import all_ioctls_but, default_seccomp

DEFAULT_CAPABILITIES = [
    f"CAP_{name}"
    for name in "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE "
    "SYS_CHROOT KILL AUDIT_WRITE".split()
]
OPERATORS = ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"]
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0
EPERM, ENOSYS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS
PROFILE = json.loads(Path(seccomp_profile.__file__).with_name("seccomp-default.json").read_text())

native = pytest.mark.skipif(MACHINE != "x86_64", reason=f"kernel {MACHINE} has other call numbers than this test")


def answer(filter_: dict, name: str, *arguments: int, architecture: str = "SCMP_ARCH_X86_64") -> int:
    """What the program of an x86-64 or aarch64 machine says."""
    machine = next(machine for machine, (_, names) in MACHINES.items() if architecture in names)
    program = decode(seccomp.compile_filter(filter_, machine=machine))
    where = ARCHITECTURES[architecture]
    return run(program, numbers(where)[name], where.audit, arguments)


def filter_of(*rules: dict, default: str = "SCMP_ACT_ERRNO", **more: object) -> dict:
    return {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": list(rules), **more}


def rule(name: str, action: str = "SCMP_ACT_ALLOW", *args: tuple, **more: object) -> dict:
    named = [{"index": i, "op": f"SCMP_CMP_{op}", "value": v, "valueTwo": two} for i, op, v, two in args]
    return {"names": [name], "action": action, "args": named, **more}


# --- conditions of profiles ---------------------------------------------------------------------------------------


def names_allowed(**where: object) -> set[str]:
    resolved = seccomp.resolve(PROFILE, **{"capabilities": DEFAULT_CAPABILITIES, "machine": "x86_64", **where})
    return {name for rule_ in resolved["syscalls"] if not rule_.get("args") for name in rule_["names"]}


def test_capabilities_open_calls() -> None:
    assert "mount" not in names_allowed()
    assert {"mount", "bpf", "setns"} <= names_allowed(capabilities=["CAP_SYS_ADMIN"])
    assert {"bpf"} <= names_allowed(capabilities=["CAP_BPF"])
    assert "chroot" in names_allowed() and "chroot" not in names_allowed(capabilities=[])
    assert "kcmp" in names_allowed(capabilities=["CAP_SYS_PTRACE"])


def test_machine_and_kernel_open_calls() -> None:
    assert "arch_prctl" in names_allowed() and "arch_prctl" not in names_allowed(machine="aarch64")
    assert "breakpoint" in names_allowed(machine="aarch64")
    assert "ptrace" in names_allowed(kernel="6.1.0-18-amd64") and "ptrace" not in names_allowed(kernel="4.7.10")
    assert "ptrace" in names_allowed(kernel="4.8") and "ptrace" in names_allowed(kernel="4.10.0+")


def test_excluded_kernel_and_machine() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {**rule("read"), "excludes": {"minKernel": "5.10"}},
            {**rule("write"), "excludes": {"arches": ["amd64"]}},
        ],
    }
    said = [seccomp.resolve(profile, [], machine="x86_64", kernel=kernel)["syscalls"] for kernel in ("5.9", "5.10")]
    assert [len(rules) for rules in said] == [1, 0]
    assert len(seccomp.resolve(profile, [], machine="aarch64", kernel="6.1")["syscalls"]) == 1


def test_architectures_of_the_machine_are_taken_from_the_map() -> None:
    for machine in MACHINES:
        resolved = seccomp.resolve(PROFILE, [], machine=machine)
        assert resolved["architectures"] == list(MACHINES[machine][1])


def test_the_one_name_form_and_flags_are_kept() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{"name": "chmod", "action": "SCMP_ACT_ERRNO", "errnoRet": 13}],
    }  # fmt: skip
    resolved = seccomp.resolve(profile, [])
    assert resolved["syscalls"] == [{"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}]
    assert resolved["flags"] == ["SECCOMP_FILTER_FLAG_LOG"]


WRONG = {
    "both architectures and archMap": lambda: seccomp.resolve({"architectures": ["A"], "archMap": [{}]}, []),
    "both name and names": lambda: seccomp.resolve({"syscalls": [{"name": "a", "names": ["b"]}]}, []),
    '"new" is not a kernel version': lambda: seccomp.resolve(
        {"syscalls": [{**rule("a"), "includes": {"minKernel": "new"}}]}, []
    ),
    'unknown action "SCMP_ACT_MAYBE"': lambda: seccomp.compile_filter(filter_of(rule("read", "SCMP_ACT_MAYBE"))),
    'unknown action "None"': lambda: seccomp.compile_filter({}),
    'unknown operator "SCMP_CMP_ABOUT"': lambda: seccomp.compile_filter(
        filter_of(rule("read", "SCMP_ACT_ALLOW", (0, "ABOUT", 1, 0)))
    ),
    "argument 6": lambda: seccomp.compile_filter(filter_of(rule("read", "SCMP_ACT_ALLOW", (6, "EQ", 1, 0)))),
    'unknown architecture "SCMP_ARCH_Z80"': lambda: seccomp.compile_filter(
        {**filter_of(), "architectures": ["SCMP_ARCH_Z80"]}
    ),
    "errnoRet 5000": lambda: seccomp.compile_filter(filter_of(rule("read", "SCMP_ACT_ERRNO", errnoRet=5000))),
    "can't be the default": lambda: seccomp.compile_filter(filter_of(default="SCMP_ACT_NOTIFY")),
    "can't be used for write": lambda: seccomp.compile_filter(filter_of(rule("write", "SCMP_ACT_NOTIFY"))),
    "needs .* instructions": lambda: seccomp.compile_filter(
        filter_of(*(rule("read", "SCMP_ACT_ALLOW", (0, "EQ", value << 32 | 1, 0)) for value in range(1000)))
    ),
    'unknown seccomp flag "FAST"': lambda: seccomp.install(b"", ["FAST"]),
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WRONG[message]()


# --- programs -----------------------------------------------------------------------------------------------------


def test_alternatives_conjunctions_and_the_rule_that_beats_all() -> None:
    both = filter_of(rule("read", "SCMP_ACT_ALLOW", (0, "EQ", 1, 0), (1, "EQ", 2, 0)))
    assert [answer(both, "read", *a) for a in ((1, 2), (1, 3), (0, 2))] == [ALLOW, EPERM, EPERM]
    either = filter_of(rule("read", "SCMP_ACT_ALLOW", (0, "EQ", 1, 0), (0, "EQ", 2, 0)))
    assert [answer(either, "read", a) for a in (1, 2, 3)] == [ALLOW, ALLOW, EPERM]
    whole = filter_of(rule("read", "SCMP_ACT_KILL_PROCESS", (0, "EQ", 1, 0)), rule("read"))
    assert [answer(whole, "read", a) for a in (1, 2)] == [ALLOW, ALLOW]


def test_answers_carry_their_errno() -> None:
    said = filter_of(rule("read", "SCMP_ACT_ERRNO", errnoRet=13), rule("mount", "SCMP_ACT_TRACE", errnoRet=7),
                     rule("write", "SCMP_ACT_TRAP"), rule("close", "SCMP_ACT_LOG"), rule("stat", "SCMP_ACT_KILL"),
                     rule("poll", "SCMP_ACT_NOTIFY"), rule("lstat", "SCMP_ACT_KILL_PROCESS"),
                     default="SCMP_ACT_ALLOW")  # fmt: skip
    expected = {"read": ERRNO | 13, "mount": 0x7FF00007, "write": 0x00030000, "close": 0x7FFC0000, "stat": 0,
                "poll": 0x7FC00000, "lstat": 0x80000000, "open": ALLOW}  # fmt: skip
    assert {name: answer(said, name) for name in expected} == expected
    assert answer(filter_of(default="SCMP_ACT_ERRNO", defaultErrnoRet=5), "read") == ERRNO | 5


def test_calls_newer_than_the_profile_are_unknown_and_not_forbidden() -> None:
    """glibc tries a new call and falls back on ENOSYS; EPERM it would pass on to the program."""
    said = filter_of(rule("openat"))
    where = ARCHITECTURES["SCMP_ARCH_X86_64"]
    program = decode(seccomp.compile_filter(said, machine="x86_64"))
    last = numbers(where)["openat"]
    assert [run(program, n, where.audit) for n in (last - 1, last, last + 1, 5000)] == [EPERM, ALLOW, ENOSYS, ENOSYS]
    open_by_default = filter_of(rule("openat", "SCMP_ACT_ERRNO"), default="SCMP_ACT_ALLOW")
    program = decode(seccomp.compile_filter(open_by_default, machine="x86_64"))
    assert run(program, 5000, where.audit) == ALLOW


def test_calls_of_architectures_outside_the_filter_are_killed() -> None:
    said = filter_of(rule("read"), default="SCMP_ACT_ALLOW")
    assert answer(said, "getpid") == ALLOW
    assert answer(said, "getpid", architecture="SCMP_ARCH_X86") == KILL
    assert answer(said, "getpid", architecture="SCMP_ARCH_X32") == KILL
    program = decode(seccomp.compile_filter(said, machine="x86_64"))
    assert run(program, 0xFFFFFFFF, ARCHITECTURES["SCMP_ARCH_X86_64"].audit) == ALLOW, "a call that a tracer skips"


def test_an_int_is_compared_as_the_kernel_reads_it() -> None:
    """Linux opens family 40 for ``socket(1 << 32 | 40)``, so a filter must not take that for a family above 40."""
    said = default_seccomp(DEFAULT_CAPABILITIES)
    assert [answer(said, "socket", family) for family in (2, 38, 40, 41, 1 << 32 | 40)] == [
        ALLOW, EPERM, EPERM, ALLOW, EPERM,
    ]  # fmt: skip


def test_who_has_a_quota_can_not_leave_it() -> None:
    """Of all ioctls of every kind and number two are refused, in both widths; nothing else is."""
    said = default_seccomp(DEFAULT_CAPABILITIES, keeps_projects=True)
    calls = [0x401C5820, 0x40086602, 0x40046602, 0x801C581F, 0x80086601, 0x5401, 1 << 32 | 0x401C5820]
    expected = [EPERM, EPERM, EPERM, ALLOW, ALLOW, ALLOW, EPERM]
    assert [answer(said, "ioctl", 3, call) for call in calls] == expected
    accepted = [(one["value"], one["valueTwo"]) for one in all_ioctls_but(*calls[:2])]
    refused = [word for word in range(1 << 16) if not any(word & mask == value for mask, value in accepted)]
    assert refused == [0x5820, 0x6602]


def meaning(filter_: dict, architecture: str, name: str, arguments: tuple[int, ...]) -> int | None:
    """The rules, read in the plainest way; None where they leave it to the default."""
    tests: dict[str, Callable[[int, int, int], bool]] = {
        "EQ": lambda a, v, w: a == v, "NE": lambda a, v, w: a != v, "LT": lambda a, v, w: a < v,
        "LE": lambda a, v, w: a <= v, "GT": lambda a, v, w: a > v, "GE": lambda a, v, w: a >= v,
        "MASKED_EQ": lambda a, v, w: a & v == w,
    }  # fmt: skip
    words = {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_KILL_PROCESS": 0x80000000}

    def holds(arg: dict) -> bool:
        narrow = not ARCHITECTURES[architecture].is_64_bit or arg["index"] in INT_ARGUMENTS.get(name, ())
        bits = 0xFFFFFFFF if narrow else (1 << 64) - 1
        values = arguments[arg["index"]], arg["value"], arg["valueTwo"]
        return tests[arg["op"].removeprefix("SCMP_CMP_")](*(value & bits for value in values))

    mine = [r for r in filter_["syscalls"] if name in r["names"]]
    answers = {id(r): ERRNO | r["errnoRet"] if "errnoRet" in r else words[r["action"]] for r in mine}
    for r in mine:
        if not r["args"]:
            return answers[id(r)]
    for r in mine:
        indexes = [arg["index"] for arg in r["args"]]
        verdicts = [holds(arg) for arg in r["args"]]
        if any(verdicts) if len(set(indexes)) < len(indexes) else all(verdicts):
            return answers[id(r)]
    return None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_programs_say_what_random_profiles_mean(architecture: str, seed: int) -> None:
    dice = random.Random(f"{architecture} {seed}")
    machine = next(machine for machine, (_, names) in MACHINES.items() if architecture in names)
    table = numbers(ARCHITECTURES[architecture])
    edges = [0, 1, 40, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, 1 << 32 | 40, (1 << 64) - 1]
    called = dice.sample(sorted(table), 60)
    rules = []
    for _ in range(80):
        args = [
            (dice.randrange(6), dice.choice(OPERATORS), dice.choice(edges), dice.choice(edges))
            for _ in range(dice.choice([0, 1, 1, 1, 2, 3]))
        ]
        action = dice.choice(["SCMP_ACT_ALLOW", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_ERRNO"])
        more = {"errnoRet": dice.choice([11, 13])} if action == "SCMP_ACT_ERRNO" else {}
        rules.append(rule(dice.choice(called[:40]), action, *args, **more))
    said = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": [architecture], "syscalls": rules}
    program = decode(seccomp.compile_filter(said, machine=machine))
    last = max(table[r["names"][0]] for r in rules if table[r["names"][0]] < 0xF0000 or table[r["names"][0]] >= X32_BIT)
    for name in called:
        for _ in range(30):
            arguments = tuple(dice.choice(edges) for _ in range(6))
            wanted = meaning(said, architecture, name, arguments)
            if wanted is None:
                is_named = any(name in r["names"] for r in rules)
                wanted = EPERM if table[name] <= last or is_named else ENOSYS
            assert run(program, table[name], ARCHITECTURES[architecture].audit, arguments) == wanted, (name, arguments)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_default_profile_call_by_call(architecture: str) -> None:
    """Every call of the table, in every architecture: allowed where the profile names it without a condition."""
    machine = next(machine for machine, (_, names) in MACHINES.items() if architecture in names)
    said = seccomp.resolve(PROFILE, DEFAULT_CAPABILITIES, machine=machine, kernel="6.1")
    program = decode(seccomp.compile_filter(said, machine=machine))
    where = ARCHITECTURES[architecture]
    unconditional = [r for r in said["syscalls"] if r["action"] == "SCMP_ACT_ALLOW" and not r.get("args")]
    allowed = {name for r in unconditional for name in r["names"]}
    conditional = {"socket", "personality", "clone", "clone3"}
    for name, number in numbers(where).items():
        got = run(program, number, where.audit, (40, 40))
        if name in allowed:
            assert got == ALLOW, name
        elif name not in conditional:
            assert got in (EPERM, ENOSYS), name
    assert answer(said, "clone3", architecture=architecture) == ENOSYS
    assert answer(said, "clone", 0x10000000, architecture=architecture) == EPERM
    assert answer(said, "clone", 0x01200011, architecture=architecture) == ALLOW


def test_programs_are_kept_by_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    said = default_seccomp(DEFAULT_CAPABILITIES)
    first = seccomp.compile_filter(said)
    monkeypatch.setattr(seccomp_rules, "compile_rules", lambda *given: pytest.fail("compiled twice"))
    assert seccomp.compile_filter(json.loads(json.dumps(said))) is first
    others = [default_seccomp([]), {**said, "defaultAction": "SCMP_ACT_KILL"}]
    assert len({seccomp.digest(each) for each in [said, *others]}) == 3
    assert seccomp.digest(said, machine="x86_64") != seccomp.digest(said, machine="aarch64")


# --- on the kernel ------------------------------------------------------------------------------------------------


def call(name: str, *arguments: int) -> int:
    """A raw system call: 0 where it succeeds, else errno."""
    widened = [ctypes.c_long(argument) for argument in arguments]
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(numbers(ARCHITECTURES[MACHINES[MACHINE][1][0]])[name]), *widened)
    return ctypes.get_errno() if result == -1 else 0


def under(filter_: dict, work: Callable[[], object]) -> object:
    """The work's value, in a child under the filter."""

    def inside() -> object:
        seccomp.install(seccomp.compile_filter(filter_), filter_.get("flags") or ())
        return work()

    return in_child(inside)


NEWUSER, NEWNS, SIGCHLD = 0x10000000, 0x00020000, 17
# The child keeps root's capabilities, so that EPERM comes from the filter: without it these give something else.
DENIED = {
    "mount": (), "umount2": (), "pivot_root": (), "open_tree": (), "move_mount": (), "fsopen": (), "mount_setattr": (),
    "unshare": (NEWUSER,), "setns": (-1, 0), "clone": (NEWUSER | SIGCHLD,), "keyctl": (0, -1, 0), "add_key": (),
    "request_key": (), "bpf": (), "perf_event_open": (), "init_module": (), "finit_module": (-1,), "delete_module": (),
    "kexec_load": (), "reboot": (), "swapon": (), "swapoff": (), "settimeofday": (), "clock_settime": (), "acct": (),
    "open_by_handle_at": (-1,), "userfaultfd": (), "personality": (0x40000,), "syslog": (), "quotactl": (),
    "move_pages": (), "kcmp": (), "lookup_dcookie": (), "nfsservctl": (), "vhangup": (), "pidfd_getfd": (-1,),
    "fanotify_init": (), "set_mempolicy_home_node": (), "io_uring_setup": (),
}  # fmt: skip
SOCKETS_DENIED = {"AF_ALG": 38, "AF_VSOCK": 40, "AF_VSOCK behind bit 32": 1 << 32 | 40}
ALLOWED = {
    "getpid": (), "getuid": (), "sched_yield": (), "umask": (0o22,), "personality": (0xFFFFFFFF,), "sync": (),
    "getppid": (), "prctl": (3,), "dup": (0,), "getpgid": (0,), "sched_getscheduler": (0,),
    "close_range": (2000, 2001, 0), "membarrier": (0, 0),
}  # fmt: skip


@pytest.mark.kernel
@pytest.mark.requires("root")
def test_the_default_profile_on_the_kernel() -> None:
    table = numbers(ARCHITECTURES[MACHINES[MACHINE][1][0]])
    denied = {name: arguments for name, arguments in DENIED.items() if name in table}

    def attempts() -> list[dict[str, int]]:
        return [
            {name: call(name, *arguments) for name, arguments in denied.items()},
            {name: call("socket", family, 1, 0) for name, family in SOCKETS_DENIED.items()},
            {name: call(name, *arguments) for name, arguments in ALLOWED.items()},
            {"clone3": call("clone3", 0, 0)},
        ]

    refused, sockets, done, newest = under(default_seccomp(DEFAULT_CAPABILITIES), attempts)
    assert {name: errno.errorcode[code] for name, code in refused.items()} == dict.fromkeys(denied, "EPERM")
    assert set(sockets.values()) == {errno.EPERM}
    assert done == dict.fromkeys(ALLOWED, 0)
    assert newest == {"clone3": errno.ENOSYS}


@pytest.mark.kernel
@pytest.mark.requires("root")
def test_capabilities_open_the_kernels_calls_too() -> None:
    """With CAP_SYS_ADMIN in the bounding set the filter lets mount through to the kernel, which then looks at it."""
    said = default_seccomp([*DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"])
    assert under(said, lambda: call("mount", 0, 0, 0, 0, 0)) == errno.EFAULT


@pytest.mark.kernel
@pytest.mark.requires("root")
def test_ordinary_programs_do_not_notice() -> None:
    def work() -> str:
        for family in (socket.AF_INET, socket.AF_UNIX, socket.AF_NETLINK):
            socket.socket(family, socket.SOCK_DGRAM).close()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(writer, 1)
            os.execvp("sh", ["sh", "-c", "ls / > /dev/null && date > /dev/null && echo well"])
        os.close(writer)
        os.waitpid(pid, 0)
        return os.read(reader, 100).decode()

    assert under(default_seccomp(DEFAULT_CAPABILITIES), work) == "well\n"


def call_i386(number: int, first: int = 0) -> int:
    """The result of a call by ``int $0x80``, the 32-bit entry that a 64-bit program can use just as well."""
    code = b"\x53\x89\xf3\x89\xf8\x31\xc9\x31\xd2\xcd\x80\x5b\xc3"  # push rbx; ebx=esi; eax=edi; ecx=edx=0; int 80; ...
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)(address)(number, first)


@native
@pytest.mark.kernel
@pytest.mark.requires("root")
def test_the_32_bit_entry_is_no_way_around() -> None:
    i386 = numbers(ARCHITECTURES["SCMP_ARCH_X86"])
    try:
        works = in_child(lambda: call_i386(i386["getpid"]) > 0)
    except ChildFailed:
        works = False
    if not works:
        pytest.skip(f"kernel {os.uname().release} lacks the 32-bit entry")

    def attempts() -> list[int]:
        calls = [("getpid", 0), ("mount", 0), ("bpf", 0), ("keyctl", 0), ("unshare", NEWUSER), ("socket", 40)]
        return [call_i386(i386[name], first) for name, first in calls]

    own, *refused = under(default_seccomp(DEFAULT_CAPABILITIES), attempts)
    assert own > 0
    assert refused == [-errno.EPERM] * 5


@native
@pytest.mark.kernel
@pytest.mark.requires("root")
def test_x32_numbers_are_no_way_around() -> None:
    x32 = numbers(ARCHITECTURES["SCMP_ARCH_X32"])

    def code_of(name: str) -> int:
        ctypes.set_errno(0)
        LIBC.syscall(ctypes.c_long(x32[name]), 0, 0, 0, 0, 0)
        return ctypes.get_errno()

    refused = under(default_seccomp(DEFAULT_CAPABILITIES), lambda: [code_of(n) for n in ("mount", "bpf", "keyctl")])
    assert refused == [errno.EPERM] * 3
    alone = {**default_seccomp(DEFAULT_CAPABILITIES), "architectures": ["SCMP_ARCH_X86_64"]}
    with pytest.raises(ChildFailed, match=f"exit code {-signal.SIGSYS}"):
        under(alone, lambda: code_of("getpid"))


@pytest.mark.kernel
@pytest.mark.requires("root")
@pytest.mark.parametrize("action", ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"])
def test_actions_that_end_a_process(action: str) -> None:
    said = filter_of(rule("getppid", action), default="SCMP_ACT_ALLOW", architectures=[MACHINES[MACHINE][1][0]])
    with pytest.raises(ChildFailed, match=f"exit code {-signal.SIGSYS}"):
        under(said, os.getppid)


@pytest.mark.kernel
@pytest.mark.requires("root")
def test_actions_that_answer() -> None:
    rules = [
        rule("getppid", "SCMP_ACT_ERRNO", errnoRet=71),
        rule("getpgid", "SCMP_ACT_TRACE"),
        rule("getsid", "SCMP_ACT_LOG"),
    ]
    flags = [f"SECCOMP_FILTER_FLAG_{name}" for name in ("LOG", "TSYNC", "SPEC_ALLOW")]
    said = filter_of(*rules, default="SCMP_ACT_ALLOW", flags=flags)
    got = under(said, lambda: [call("getppid"), call("getpgid", 0), call("getsid", 0)])
    assert got == [71, errno.ENOSYS, 0], "a call to be traced, without a tracer, is unknown"


@pytest.mark.kernel
@pytest.mark.requires("root")
def test_a_listener_is_asked() -> None:
    said = filter_of(rule("getppid", "SCMP_ACT_NOTIFY"), default="SCMP_ACT_ALLOW")
    assert seccomp.wants_listener(said) and not seccomp.wants_listener(filter_of())

    def inside() -> list:
        listener = seccomp.install(seccomp.compile_filter(said), ["SECCOMP_FILTER_FLAG_TSYNC"], listener=True)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(listener)
            os.write(writer, b"%d" % call("getppid"))
            os._exit(0)
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        asked = bool(poll.poll(10_000))
        os.close(listener)  # nobody will answer any more: the call is unknown
        os.waitpid(pid, 0)
        return [asked, int(os.read(reader, 10))]

    assert in_child(inside) == [True, errno.ENOSYS]


@pytest.mark.kernel
@pytest.mark.requires("root")
def test_loading_needs_a_capability_or_no_new_privs() -> None:
    program = seccomp.compile_filter(default_seccomp([]))

    def without_privilege(no_new_privs: bool) -> str:
        os.setuid(1234)
        if no_new_privs:
            set_no_new_privileges()
        seccomp.install(program)
        return Path("/proc/self/status").read_text().partition("Seccomp:")[2].split()[0]

    assert in_child(lambda: without_privilege(True)) == "2"
    with pytest.raises(PermissionError) as caught:
        in_child(lambda: without_privilege(False))
    assert caught.value.filename == "seccomp filter"


# --- the table ----------------------------------------------------------------------------------------------------


def test_numbers_are_those_of_this_machines_headers() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("kernel installation here lacks the headers of linux-libc-dev")
    defined = {}
    for line in header.read_text().splitlines():
        words = line.split()
        if len(words) == 3 and words[1].startswith("__NR_") and words[2].isdigit():
            defined[words[1].removeprefix("__NR_")] = int(words[2])
    assert len(defined) > 300
    assert defined.items() <= numbers(ARCHITECTURES["SCMP_ARCH_X86_64"]).items()


def test_a_number_means_one_call() -> None:
    aliases = {"sync_file_range2", "arm_sync_file_range"}
    for name, architecture in ARCHITECTURES.items():
        table = numbers(architecture)
        assert len({n for call_, n in table.items() if call_ not in aliases}) == len(table.keys() - aliases), name
        assert 300 < len(table) < 500
