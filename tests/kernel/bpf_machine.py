"""A machine for classic BPF programs, as far as seccomp filters use them: what would the kernel answer?"""

from __future__ import annotations

import struct
from collections.abc import Sequence

Instruction = tuple[int, int, int, int]


def decode(program: bytes) -> list[Instruction]:
    """Opcode, jump if true, jump if false, operand."""
    return list(struct.iter_unpack("=HBBI", program))


def run(program: list[Instruction], number: int, audit: int, arguments: Sequence[int] = ()) -> int:
    """The value that the filter returns for a call."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=iIQ6Q", number - (number >> 31 << 32), audit, 0, *padded)
    accumulator = position = 0
    while True:
        opcode, if_true, if_false, operand = program[position]
        position += 1
        if opcode == 0x20:
            accumulator = struct.unpack_from("=I", data, operand)[0]
        elif opcode == 0x54:
            accumulator &= operand
        elif opcode == 0x06:
            return operand
        elif opcode == 0x05:
            position += operand
        else:
            holds = {0x15: accumulator == operand, 0x25: accumulator > operand, 0x35: accumulator >= operand}[opcode]
            position += if_true if holds else if_false
