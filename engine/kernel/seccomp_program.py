"""Seccomp rules as a classic BPF program (seccomp(2), the kernel's seccomp_filter.rst).

    architecture?  --- not in the filter --> kill the thread, as libseccomp does
      x86-64 or x32, by bit 30 of the number
        number?  by binary search over ranges of numbers with the same answer
          answer, or comparisons of arguments and then an answer

Every answer is a return in place, so that each piece of code is independent of where it lies and jumps are short. Only
the number and the architecture decide on most calls: Linux remembers those answers (5.11) and runs nothing for them.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

KILL_THREAD = 0x0000_0000
MAXIMUM_INSTRUCTIONS = 4096

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54
_JA, _JEQ, _JGT, _JGE = 0x05, 0x15, 0x25, 0x35
_RETURN = 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16  # in struct seccomp_data

_NEXT, _PASS, _FAIL = range(3)  # where a step goes: the next step, the next comparison, out of the rule
_LOW = 0xFFFF_FFFF

# the half above decides, or leaves it to the half below
_HIGH = {
    "EQ": ((_JEQ, _NEXT, _FAIL),),
    "MASKED_EQ": ((_JEQ, _NEXT, _FAIL),),
    "NE": ((_JEQ, _NEXT, _PASS),),
    "GT": ((_JGT, _PASS, _NEXT), (_JEQ, _NEXT, _FAIL)),
    "GE": ((_JGT, _PASS, _NEXT), (_JEQ, _NEXT, _FAIL)),
    "LT": ((_JGT, _FAIL, _NEXT), (_JEQ, _NEXT, _PASS)),
    "LE": ((_JGT, _FAIL, _NEXT), (_JEQ, _NEXT, _PASS)),
}
_LOWER = {
    "EQ": (_JEQ, _PASS, _FAIL),
    "MASKED_EQ": (_JEQ, _PASS, _FAIL),
    "NE": (_JEQ, _FAIL, _PASS),
    "GT": (_JGT, _PASS, _FAIL),
    "GE": (_JGE, _PASS, _FAIL),
    "LT": (_JGE, _FAIL, _PASS),
    "LE": (_JGT, _FAIL, _PASS),
}
OPERATORS = frozenset(_HIGH)


class Comparison(NamedTuple):
    """``operator`` without ``SCMP_CMP_``; for MASKED_EQ ``value`` is the mask and ``second`` what must be left."""

    index: int
    operator: str
    value: int
    second: int
    low_half: bool


class Rule(NamedTuple):
    """All comparisons hold -> the answer, a SECCOMP_RET_* value. No comparisons: always."""

    comparisons: tuple[Comparison, ...]
    answer: int


class Section(NamedTuple):
    """The calls of one architecture, numbers ``first`` to before ``end``. ``rules`` by number, in order; ``default``
    for what no rule decides; ``beyond`` for numbers above the last named one, unknown to the profile's author."""

    audit: int
    first: int
    end: int
    rules: dict[int, tuple[Rule, ...]]
    default: int
    beyond: int


Code = list[tuple[int, int, int, int]]
"""Instructions: opcode, jump if true, jump if false, operand."""

# arm's private calls lie far above its table, which must not make everything between them known
_PRIVATE_CALLS = 0xF0000


def assemble(sections: Sequence[Section]) -> bytes:
    """The program as an array of ``struct sock_filter``. ValueError where it would be too long for the kernel."""
    by_audit: dict[int, list[Section]] = {}
    for section in sections:
        by_audit.setdefault(section.audit, []).append(section)
    code: Code = [(_LOAD, 0, 0, _AT_ARCHITECTURE)]
    for audit, group in by_audit.items():
        body: Code = [(_LOAD, 0, 0, _AT_NUMBER), *_search(_all_ranges(group))]
        code += [(_JEQ, 1, 0, audit), (_JA, 0, 0, len(body)), *body]
    code.append((_RETURN, 0, 0, KILL_THREAD))
    if len(code) > MAXIMUM_INSTRUCTIONS:
        raise ValueError(f"the seccomp profile needs {len(code)} instructions, Linux takes {MAXIMUM_INSTRUCTIONS}")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


# --- numbers ------------------------------------------------------------------------------------------------------


def _all_ranges(group: list[Section]) -> list[tuple[int, Code]]:
    """First number and code of each range, over all 32 bits; neighbours with the same code are one.

    x86-64 and x32 share an audit number: without x32 in the filter its calls are killed, but for -1, which a tracer
    puts in to skip a call.
    """
    ranges: list[tuple[int, Code]] = []
    for section in sorted(group, key=lambda each: each.first):
        ranges += _ranges(section)
    if section.end <= _LOW:
        ranges += [(section.end, [(_RETURN, 0, 0, KILL_THREAD)]), (_LOW, [(_RETURN, 0, 0, section.default)])]
    return [each for index, each in enumerate(ranges) if index == 0 or each[1] != ranges[index - 1][1]]


def _ranges(section: Section) -> list[tuple[int, Code]]:
    default: Code = [(_RETURN, 0, 0, section.default)]
    named = sorted(section.rules)
    if not named:
        return [(section.first, default)]
    beyond: Code = [(_RETURN, 0, 0, section.beyond)]
    last = max((number for number in named if number - section.first < _PRIVATE_CALLS), default=-1)
    ranges = []
    position = section.first
    for number in named:
        if number > position:
            ranges.append((position, default if number <= last else beyond))
        ranges.append((number, _decide(section.rules[number], section.default)))
        position = number + 1
    return [*ranges, (position, beyond)]


def _search(ranges: list[tuple[int, Code]]) -> Code:
    """Find the range by halving."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    boundary = ranges[middle][0]
    if len(below) <= 255:
        return [(_JGE, len(below), 0, boundary), *below, *above]
    return [(_JGE, 0, 1, boundary), (_JA, 0, 0, len(below)), *below, *above]


# --- arguments ----------------------------------------------------------------------------------------------------


def _decide(rules: tuple[Rule, ...], default: int) -> Code:
    code: Code = []
    for rule in rules:
        if not rule.comparisons:
            return [*code, (_RETURN, 0, 0, rule.answer)]
        code += _rule(rule)
    return [*code, (_RETURN, 0, 0, default)]


def _rule(rule: Rule) -> Code:
    """All comparisons, then the answer; the first that fails leaves to what follows."""
    parts = [_steps(comparison) for comparison in rule.comparisons]
    fail = sum(map(len, parts)) + 1
    code: Code = []
    for part in parts:
        target = {_NEXT: None, _PASS: len(code) + len(part), _FAIL: fail}
        for opcode, operand, if_true, if_false in part:
            jumps = (target[where] for where in (if_true, if_false))
            here = len(code) + 1  # jumps count from the next instruction
            code.append((opcode, *(0 if jump is None else jump - here for jump in jumps), operand))
    return [*code, (_RETURN, 0, 0, rule.answer)]


def _steps(comparison: Comparison) -> list[tuple[int, int, int, int]]:
    """One comparison of 64 bits, as two of 32 (BPF has no more): opcode, operand, where to if true, if false."""
    index, operator, value, second, low_half = comparison
    at_low = _AT_ARGUMENTS + 8 * index  # little-endian, as all machines that we know
    is_masked = operator == "MASKED_EQ"
    wanted = second if is_masked else value
    steps = []
    if not low_half and not (is_masked and not (value | second) >> 32):
        steps += _half(at_low + 4, value >> 32 if is_masked else None, wanted >> 32, _HIGH[operator])
    return steps + _half(at_low, value & _LOW if is_masked else None, wanted & _LOW, (_LOWER[operator],))


def _half(at: int, mask: int | None, wanted: int, jumps: tuple[tuple[int, int, int], ...]) -> list:
    steps = [(_LOAD, at, _NEXT, _NEXT)]
    if mask is not None:
        steps.append((_AND, mask, _NEXT, _NEXT))
    return steps + [(opcode, wanted, if_true, if_false) for opcode, if_true, if_false in jumps]
