"""A command: its declaration, the check of its arguments, its help text."""

from __future__ import annotations

import os

from engine.cli import flags
from engine.cli.output import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence

    from engine.cli.session import Session

    Runner = Callable[[Session, flags.Options, list[str]], int]


class Command:
    """``usage`` is what follows the command's name, ``least`` and ``most`` count its arguments, and ``run`` returns
    the exit status. ``failure`` is the status when the engine refuses, and ``interspersed`` false keeps flags behind
    the first argument for whom they are meant."""

    def __init__(
        self,
        run: Runner,
        usage: str,
        *declared: flags.Flag,
        least: int = 0,
        most: int | None = None,
        interspersed: bool = True,
        failure: int = 1,
        examples: str = "",
    ) -> None:
        self.run = run
        self.usage = usage
        self.flags = declared
        self.least = least
        self.most = most
        self.interspersed = interspersed
        self.failure = failure
        self.examples = examples

    def parse(self, path: str, words: Sequence[str]) -> tuple[flags.Options, list[str]]:
        """Options and arguments. Raises CommandError with a hint where help is to be found, and HelpWanted."""
        try:
            options, arguments = flags.parse(self.flags, words, interspersed=self.interspersed)
            self._count(path, arguments)
        except CommandError as error:
            hint = f"Run 'docket {path} --help' for more information"
            raise CommandError(f"docket: {error}\n\n{hint}", error.status) from error
        return options, arguments

    def _count(self, path: str, arguments: Sequence[str]) -> None:
        count = len(arguments)
        if count >= self.least and (self.most is None or count <= self.most):
            return
        if self.most == 0:
            wanted = "accepts no arguments"
        elif self.most == self.least:
            wanted = f"requires {_arguments(self.least)}"
        elif count < self.least:
            wanted = f"requires at least {_arguments(self.least)}"
        else:
            wanted = f"requires at most {_arguments(self.most or 0)}"
        raise CommandError(f"'docket {path}' {wanted}")

    def help(self, path: str, summary: str, aliases: Sequence[str] = ()) -> str:
        """What ``--help`` prints."""
        from engine.cli.guide import see_also

        parts = [f"Usage:  docket {path} {self.usage}".rstrip(), summary]
        if len(aliases) > 1:
            parts.append("Aliases:\n  " + ", ".join(f"docket {alias}" for alias in aliases))
        if self.flags:
            titled = any(flag.group for flag in self.flags)
            parts.append(("" if titled else "Options:\n") + flags.describe(self.flags, terminal_columns()))
        if self.examples:
            parts.append("Examples:\n" + "\n".join(f"  {line}" for line in self.examples.strip().splitlines()))
        if further := see_also(path, aliases):
            parts.append("See also: " + ", ".join(f"docket {name}" for name in further))
        return "\n\n".join(parts) + "\n"


def _arguments(count: int) -> str:
    return "1 argument" if count == 1 else f"{count} arguments"


def terminal_columns() -> int:
    """The width of the terminal, or Docker's 80 where there is none."""
    try:
        return os.get_terminal_size(1).columns or flags.HELP_COLUMNS
    except OSError:
        return flags.HELP_COLUMNS
