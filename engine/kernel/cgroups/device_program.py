"""v2's device control: an eBPF program, assembled here, that the kernel asks at each mknod and open of a device.

bpf(2), and Documentation/bpf for the instruction set. The program is a straight list: one block an exception, then
the default.
"""

from __future__ import annotations

import os
import struct

from engine.kernel import ctypes
from engine.kernel.cgroups.devices import ANY, Policy
from engine.kernel.libc import SYS_bpf, syscall

BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8
BPF_PROG_DETACH = 9
BPF_PROG_GET_FD_BY_ID = 13
BPF_PROG_QUERY = 16
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
BPF_F_REPLACE = 4

_TYPES = {"b": 1, "c": 2}
_ACCESSES = {"m": 1, "r": 2, "w": 4}
_ALL = 7

# opcodes, as class | operation | source
_LOAD_WORD = 0x61  # dst = *(u32 *)(src + offset)
_MOV = 0xB4  # all of these on 32 bits, with an immediate
_MOV_REG = 0xBC
_AND = 0x54
_RSH = 0x74
_JNE = 0x56
_JEQ = 0x16
_JNE_REG = 0x5E
_EXIT = 0x95

# struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; }, its address in r1
_R0, _R1, _TYPE, _ACCESS, _MAJOR, _MINOR = range(6)


def _instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, dst | src << 4, offset, immediate)


def assemble(policy: Policy) -> bytes:
    """The program: 1 lets an access pass, 0 makes it EPERM."""
    program = [
        _instruction(_LOAD_WORD, _TYPE, _R1, 0),
        _instruction(_MOV_REG, _ACCESS, _TYPE),
        _instruction(_AND, _TYPE, immediate=0xFFFF),
        _instruction(_RSH, _ACCESS, immediate=16),
        _instruction(_LOAD_WORD, _MAJOR, _R1, 4),
        _instruction(_LOAD_WORD, _MINOR, _R1, 8),
    ]
    for key, access in sorted(policy.exceptions.items()):
        program += _exception_block(key, sum(_ACCESSES[letter] for letter in access), policy.allows)
    program += [_instruction(_MOV, _R0, immediate=int(policy.allows)), _instruction(_EXIT)]
    return b"".join(program)


def _exception_block(key: tuple[str, int, int], access: int, allows: bool) -> list[bytes]:
    """Decide the opposite of the default where the device matches; fall through to the next block where not."""
    kind, major, minor = key
    tests: list[tuple[int, int, int, int]] = [(_JNE, _TYPE, 0, _TYPES[kind])]
    if major != ANY:
        tests.append((_JNE, _MAJOR, 0, major))
    if minor != ANY:
        tests.append((_JNE, _MINOR, 0, minor))
    if access != _ALL:
        tests += [(_MOV_REG, _R1, _ACCESS, 0), (_AND, _R1, 0, access)]
        # what is allowed must hold for all of the access asked; what is denied, for any of it
        tests.append((_JEQ, _R1, 0, 0) if allows else (_JNE_REG, _R1, _ACCESS, 0))
    block = []
    length = len(tests) + 2
    for index, (code, dst, src, immediate) in enumerate(tests):
        is_jump = code in (_JNE, _JEQ, _JNE_REG)
        block.append(_instruction(code, dst, src, length - index - 1 if is_jump else 0, immediate))
    return [*block, _instruction(_MOV, _R0, immediate=int(not allows)), _instruction(_EXIT)]


def _bpf(command: int, attributes: bytes, subject: str) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(attributes, max(len(attributes), 72))
    result = syscall(SYS_bpf, command, ctypes.byref(buffer), len(buffer), subject=subject)
    return result, buffer.raw


def load(program: bytes) -> int:
    """Have the kernel verify the program; its descriptor. Before Linux 5.11 this needs RLIMIT_MEMLOCK."""
    code = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "=IIQQIIQII16s",
        BPF_PROG_TYPE_CGROUP_DEVICE,
        len(program) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        0, 0, 0,  # no verifier log: what is assembled here has one shape
        0, 0,
        b"docket_devices",
    )  # fmt: skip
    return _bpf(BPF_PROG_LOAD, attributes, "device program")[0]


def attached(folder_fd: int) -> list[int]:
    """Ids of the device programs attached to a cgroup itself, not to its ancestors."""
    ids = (ctypes.c_uint32 * 64)()
    attributes = struct.pack("=IIIIQII", folder_fd, BPF_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), len(ids), 0)
    _, answer = _bpf(BPF_PROG_QUERY, attributes, "device programs of a cgroup")
    return list(ids[: struct.unpack_from("=I", answer, 24)[0]])


def attach(folder_fd: int, program: int, *, replacing: int | None = None) -> None:
    """Attach beside what is there, or in the place of the program ``replacing`` in one go."""
    flags = BPF_F_ALLOW_MULTI | (0 if replacing is None else BPF_F_REPLACE)
    _bpf(BPF_PROG_ATTACH, struct.pack("=IIIII", folder_fd, program, BPF_CGROUP_DEVICE, flags, replacing or 0), "attach")


def apply_v2(folder: str, policy: Policy) -> None:
    """Make ``policy`` the only device program of the cgroup, without a moment in which there is none."""
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    opened = [folder_fd]
    try:
        opened.append(program := load(assemble(policy)))
        for program_id in attached(folder_fd):
            opened.append(_bpf(BPF_PROG_GET_FD_BY_ID, struct.pack("=III", program_id, 0, 0), "device program")[0])
        old = opened[2:]
        attach(folder_fd, program, replacing=old[0] if old else None)
        for surplus in old[1:]:
            _bpf(BPF_PROG_DETACH, struct.pack("=III", folder_fd, surplus, BPF_CGROUP_DEVICE), "detach")
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} (device program: {error.filename})", folder) from error
    finally:
        for fd in opened:
            os.close(fd)
