"""One ``docket compose`` command: the project that it is about, the engine, and how its progress is shown."""

from __future__ import annotations

import os

from engine.cli.compose.invocation import Invocation
from engine.cli.compose.progress import Progress, progress_for
from engine.cli.output import STDERR, CommandError, encoded, err, out, printable, write_all
from engine.cli.session import PROGRAM
from engine.client.api import Client
from engine.compose.project import ComposeError, Project
from engine.compose.reading.naming import checked
from engine.compose.running import actual as actual_state
from engine.compose.running.actual import Container
from engine.compose.running.observed import observed_project
from engine.compose.running.operations import Operations
from engine.compose.running.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping, Sequence

    from engine.cli.build_sources import Context


_NEED_CONTAINERS = ("down", "start", "restart", "wait")


def _open_context(place: str, file: str, named: Mapping[str, str]) -> Context:
    from engine.cli.build_sources import open_context

    return open_context(place, file, named)


class Scene:
    """A context manager. ``services`` were typed: they count whatever their profiles are. The engine is asked, and the
    compose files are read, when something of them is first wanted."""

    def __init__(
        self, invocation: Invocation, verb: str, services: Sequence[str] = (), *, progress: Progress | None = None
    ) -> None:
        self.invocation = invocation
        self.verb = verb
        self.services = tuple(services)
        self.progress = progress or progress_for(invocation.progress, invocation.ansi)
        self.explains = False
        self._project: Project | None = None
        self._operations: Operations | None = None

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.close()
        if self._operations is not None:
            self._operations.close()

    # --- the project -------------------------------------------------------------------------------------------------

    @property
    def project(self) -> Project:
        """The project of the compose files. Raises ComposeError."""
        return self._loaded(resolve_env_files=True)

    @property
    def bare_project(self) -> Project:
        """The project of the compose files, without what its services' env_file says, for commands that make no
        containers: a file that is missing is in nobody's way. Raises ComposeError."""
        return self._loaded(resolve_env_files=False)

    def _loaded(self, **how: bool) -> Project:
        if self._project is None:
            self._project = self.invocation.project(self.services, **how)
        return self._project

    @property
    def any_project(self) -> Project:
        """The bare project of the compose files; or the one that ``-p`` without ``-f`` names, as its containers tell
        it, whatever files are near. So it is where the files that COMPOSE_PROJECT_NAME is for can't be loaded."""
        if self._project is None:
            flags = self.invocation.flags
            if flags.project_name and not flags.file:
                self._project = self._observed(flags.project_name)
            elif not flags.file and (name := os.environ.get("COMPOSE_PROJECT_NAME", "")):
                try:
                    return self.bare_project
                except ComposeError:
                    self._project = self._observed(name)
        return self.bare_project

    def _observed(self, name: str) -> Project:
        """What was typed may be a service that just has no containers now, unless it is to have some."""
        named = () if self.verb in _NEED_CONTAINERS else self.services
        with Client(self.invocation.session.client.address, program=PROGRAM) as client:
            return observed_project(checked(name), actual_state.read(client, name), named)

    def find_project(self) -> Project:
        """``any_project``, for commands that work on whatever there is."""
        return self.any_project

    # --- the engine --------------------------------------------------------------------------------------------------

    @property
    def operations(self) -> Operations:
        """On the project that ``project`` or ``any_project`` has found."""
        if self._operations is None:
            self._operations = self.new_operations()
        return self._operations

    def new_operations(self) -> Operations:
        """One more, for what is done beside the others."""
        return Operations(
            self._project or self.project, self.invocation.session.client, self.verb, self.progress,
            open_context=_open_context, program=PROGRAM, parallel=self.invocation.parallel,
            dry_run=self.invocation.dry_run, show=self._show_plan,
        )  # fmt: skip

    @property
    def client(self) -> Client:
        return self.operations.client

    def _show_plan(self, plan: Plan) -> None:
        if self.invocation.dry_run:
            out("".join(f"{printable(line)}\n" for line in plan.described()))
            return
        if self.explains:
            for action in plan.actions:
                for reason in action.why:
                    err(f"{action.kind} {action.name}: {action.verb}, since {reason}")
        self.progress.unchanged(plan.unchanged)

    # --- containers that a command is about --------------------------------------------------------------------------

    def containers(self, services: Sequence[str] = (), *, one_off: bool = False) -> list[Container]:
        """The containers of the services (of all, if none is named), by name. Raises ComposeError for a
        service that there is not."""
        from engine.compose.running.desired import check_names

        check_names(self.any_project, tuple(services))
        found = self.operations.actual().containers
        chosen = [one for one in found if (one_off or not one.one_off) and (not services or one.service in services)]
        return sorted(chosen, key=lambda one: one.name)

    def container(self, service: str, index: int = 0) -> Container:
        """A container of a service, whether it runs or not: the first, or the one with that number. Raises
        CommandError."""
        for one in self.containers([service]):
            if index in (0, one.number):
                return one
        which = f"container #{index}" if index else "container"
        raise CommandError(f'service "{service}" has no {which}')

    def running_container(self, service: str, index: int = 0) -> Container:
        """The container of a service that runs: the first, or the one with that number. Raises CommandError."""
        running = [one for one in self.containers() if one.service == service and one.up]
        for one in running:
            if index in (0, one.number):
                return one
        if index and running:
            raise CommandError(f'service "{service}" is not running container #{index}')
        raise CommandError(f'service "{service}" is not running')

    def confirm(self, question: str) -> bool:
        """Ask on the terminal; whoever can't be asked says no."""
        if not os.isatty(0):
            return False
        write_all(STDERR, encoded(f"{question} [yN] "))
        return os.read(0, 100).strip().lower() in (b"y", b"yes")
