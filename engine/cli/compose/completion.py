"""What the shell offers behind ``docket compose``: verbs, flags, and the services of the project that is meant."""

from __future__ import annotations

from engine.cli import compose
from engine.cli.command import Command
from engine.cli.completion import behind_flags
from engine.cli.flags import HelpWanted, parse
from engine.cli.output import CommandError
from engine.cli.session import Session

_SERVICE = "SERVICE"


def offers_of_verb(session: Session, group: Command, before: list[str], last: str) -> list[str]:
    """The offers for the word ``last`` behind ``docket compose`` and the words ``before``."""
    rest, awaited = behind_flags(before, group.flags)
    if awaited is not None:
        return []
    if not rest:
        return [f"--{flag.name}" for flag in group.flags] if last.startswith("-") else list(compose.VERBS)
    place = compose.find(rest[0])
    if place is None:
        return []
    verb = compose.load(place)
    if last.startswith("-"):
        return [f"--{flag.name}" for flag in verb.flags]
    if _SERVICE not in verb.usage:
        return []
    return _services(session, group, before[: len(before) - len(rest)])


def _services(session: Session, group: Command, words: list[str]) -> list[str]:
    """The project's services; none where there is no project, or one with a mistake: completion is silent."""
    from engine.cli.compose.invocation import Invocation
    from engine.compose.loader import load
    from engine.compose.project import ComposeError

    try:
        options, _ = parse(group.flags, words, interspersed=False)
        return list(load(Invocation(session, options).options()).model["services"])
    except (ComposeError, CommandError, HelpWanted):
        return []
