"""One run of a compose verb: the engine that it speaks with, the global flags, and the project that they mean."""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.flags import Flag, Options, switch
from engine.cli.output import CommandError, err
from engine.cli.session import Session
from engine.compose.project import LoadOptions, Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_UNLIMITED = -1


class Invocation:
    """``flags`` are those between ``compose`` and the verb."""

    def __init__(self, session: Session, flags: Options) -> None:
        self.session = session
        self.flags = flags
        self.dry_run: bool = flags.dry_run
        self.parallel: int = self._parallel()
        """How many things may be done at once; -1 is no limit."""
        self.ansi: str = self._chosen("ansi", "COMPOSE_ANSI", ("never", "always", "auto"))
        self.progress: str = self._chosen("progress", "COMPOSE_PROGRESS", ("auto", "tty", "plain", "json", "quiet"))

    def _parallel(self) -> int:
        text = "" if "parallel" in self.flags.given else os.environ.get("COMPOSE_PARALLEL_LIMIT", "")
        try:
            value = int(text) if text else self.flags.parallel
        except ValueError as error:
            raise CommandError(f"COMPOSE_PARALLEL_LIMIT must be an integer (found: {text!r})") from error
        return value if value > 0 else _UNLIMITED

    def _chosen(self, flag: str, variable: str, choices: tuple[str, ...]) -> str:
        if flag in self.flags.given or not (value := os.environ.get(variable)):
            return getattr(self.flags, flag)
        if value not in choices:
            raise CommandError(f"{variable}={value} is not valid: use one of {', '.join(choices)}")
        return value

    def options(self, services: tuple[str, ...] = (), **changes: Any) -> LoadOptions:
        """What to load, by the global flags. ``services`` were typed, and count whatever their profiles are."""
        return LoadOptions(
            files=tuple(self.flags.file),
            project_name=self.flags.project_name,
            project_directory=self.flags.project_directory,
            profiles=tuple(self.flags.profile),
            env_files=tuple(self.flags.env_file),
            environment={"PWD": os.getcwd(), **os.environ},
            **{"all_resources": self.flags.all_resources, "services": services, **changes},
        )

    def project(self, services: tuple[str, ...] = (), **changes: Any) -> Project:
        """The project, its warnings told on standard error. Raises ComposeError."""
        from engine.compose.loader import load

        project = load(self.options(services, **changes))
        for warning in project.warnings:
            err(f"WARN: {warning}")
        return project


DRY_RUN = switch("--dry-run", "Show what would be done, and do nothing")
"""For the verbs that carry out a plan: what ``docket compose --dry-run`` means for all of them."""


class Verb(Command):
    """A command that gets an Invocation where others get the session."""

    if TYPE_CHECKING:
        run: Callable[[Invocation, Options, list[str]], int]  # type: ignore[assignment]

        def __init__(
            self, run: Callable[[Invocation, Options, list[str]], int], usage: str, *declared: Flag, **how: Any
        ) -> None: ...
