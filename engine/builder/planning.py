"""A Dockerfile taken apart, before anything of it is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from engine.builder import dockerfile as language
from engine.builder.entitlements import check_entitled
from engine.builder.instructions import Arg, Run, commands_of
from engine.builder.orders import Order
from engine.builder.stages import PREDEFINED, Stage, global_arguments, named_stages, needed, stages_of
from engine.domain.errors import InvalidArgument

EPOCH = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True, slots=True)
class Plan:
    """All stages, and those that are to be run, the target last. ``known`` are the names of all ARGs, ``epoch_s`` is
    what SOURCE_DATE_EPOCH says."""

    dockerfile: language.Dockerfile
    stages: list[Stage]
    chosen: Sequence[Stage]
    arguments: dict[str, str]
    known: frozenset[str]
    epoch_s: int | None

    @property
    def steps(self) -> int:
        return sum(1 + len(stage.commands) for stage in self.chosen)


def plan_of(text: bytes, order: Order) -> Plan:
    """Raises InvalidArgument."""
    file = order.dockerfile
    parsed = language.parse(text, file)
    commands = commands_of(parsed, file)
    arguments = global_arguments(commands, order.arguments, parsed.escape, file)
    named = named_stages({name: context.image for name, context in order.contexts.items()})
    every = stages_of(commands, arguments, parsed.escape, file, named)
    words = (word for command in commands if isinstance(command, Arg) for word in command.words)
    known = frozenset(word.partition("=")[0] for word in words)
    epoch = epoch_of(order.arguments, arguments)
    chosen = needed(order.target, every, file)
    for command in (command for stage in chosen for command in stage.commands if isinstance(command, Run)):
        check_entitled(command, order)
    return Plan(parsed, every, chosen, arguments, known, epoch)


_LAST = "253402300799"
"""The last second of the year 9999, which no date of an image is beyond."""


def epoch_of(given: Mapping[str, str], arguments: Mapping[str, str]) -> int | None:
    """The seconds since 1970 that are asked for; None where none are. Raises InvalidArgument."""
    epoch = given.get(EPOCH, arguments.get(EPOCH, ""))
    if epoch and not (epoch.isascii() and epoch.isdigit() and len(epoch) <= len(_LAST) and epoch.zfill(12) <= _LAST):
        raise InvalidArgument(f"invalid SOURCE_DATE_EPOCH {epoch[:100]!r}: seconds since 1970 are expected")
    return int(epoch) if epoch else None


def not_consumed(order: Order, consumed: set[str] | frozenset[str]) -> str:
    """A warning of arguments that nothing in the Dockerfile asks for; "" where there are none."""
    spared = PREDEFINED | consumed | {EPOCH} | {name for name in order.arguments if name.startswith("BUILDKIT_")}
    unused = sorted(set(order.arguments) - spared)
    return f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed\n" if unused else ""
