"""From the rules of a ``linux.seccomp`` to those of the program: actions, comparisons and calls by their numbers."""

from __future__ import annotations

from engine.kernel.seccomp_program import KILL_THREAD, OPERATORS, Comparison, Rule, Section, assemble
from engine.kernel.syscall_table import (
    ARCHITECTURES, FOREIGN_ARCHITECTURES, INT_ARGUMENTS, MACHINES, Architecture, numbers,
)  # fmt: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

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


def compile_rules(seccomp: dict, machine: str) -> bytes:
    """The program of a ``linux.seccomp`` for this machine. ValueError names what in it is not understood."""
    return assemble(_sections(seccomp, machine))


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
