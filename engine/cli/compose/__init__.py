"""``docket compose``: its global flags, and which verb lies in which module. Nothing is imported before it is typed."""

from __future__ import annotations

from engine.cli import flags
from engine.cli.command import Command, terminal_columns
from engine.cli.output import CommandError, out
from engine.cli.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping, Sequence

    Parse = Callable[[str, Sequence[str]], tuple[flags.Options, list[str]]]

Place = tuple[str, str, str]
"""Module under engine.cli.compose, attribute in it, summary."""

VERBS: Mapping[str, Place] = {
    "attach": ("execute", "ATTACH", "Attach local standard streams to a service's container"),
    "build": ("images", "BUILD", "Build or rebuild services"),
    "commit": ("execute", "COMMIT", "Create a new image from a service container's changes"),
    "config": ("config", "CONFIG", "Parse, resolve and render compose file in canonical format"),
    "cp": ("execute", "COPY", "Copy files between a service container and the local filesystem"),
    "create": ("up", "CREATE", "Creates containers for a service"),
    "down": ("lifecycle", "DOWN", "Stop and remove containers, networks"),
    "events": ("logs", "EVENTS", "Receive real time events from containers"),
    "exec": ("execute", "EXEC", "Execute a command in a running container"),
    "export": ("execute", "EXPORT", "Export a service container's filesystem as a tar archive"),
    "images": ("images", "IMAGES", "List images used by the created containers"),
    "kill": ("lifecycle", "KILL_VERB", "Force stop service containers"),
    "logs": ("logs", "LOGS", "View output from containers"),
    "ls": ("projects", "LIST", "List running compose projects"),
    "pause": ("lifecycle", "PAUSE_VERB", "Pause services"),
    "port": ("ps", "PORT", "Print the public port for a port binding"),
    "ps": ("ps", "PS", "List containers"),
    "pull": ("images", "PULL", "Pull service images"),
    "push": ("images", "PUSH", "Push service images"),
    "restart": ("lifecycle", "RESTART", "Restart service containers"),
    "rm": ("lifecycle", "REMOVE", "Removes stopped service containers"),
    "run": ("run", "RUN", "Run a one-off command on a service"),
    "scale": ("up", "SCALE", "Scale services"),
    "start": ("lifecycle", "START", "Start services"),
    "stats": ("ps", "STATS", "Display a live stream of container(s) resource usage statistics"),
    "stop": ("lifecycle", "STOP", "Stop services"),
    "top": ("ps", "TOP", "Display the running processes"),
    "unpause": ("lifecycle", "UNPAUSE_VERB", "Unpause services"),
    "up": ("up", "UP", "Create and start containers"),
    "version": ("projects", "VERSION", "Show the version of Docket's compose"),
    "volumes": ("volumes", "VOLUMES", "List volumes"),
    "wait": ("execute", "WAIT", "Block until containers of all (or specified) services stop."),
    "watch": ("watch", "WATCH", "Watch the source of services and refresh containers"),
}
UNSUPPORTED: Mapping[str, str] = {
    "bridge": "this engine runs compose files, and makes no other models of them",
    "publish": "push the images by `docket compose push`, and hand on what `docket compose config` prints",
}
"""Verbs of Docker Compose's that there are not -> what to do instead."""
UNPLANNED = ("attach", "commit", "cp", "exec")
OTHER_NAMES: Mapping[str, str] = {"convert": "config"}


def find(word: str) -> Place | None:
    """The place of a verb, by its name or another name of it."""
    return VERBS.get(OTHER_NAMES.get(word, word))


def load(place: Place) -> Command:
    """Import the module of a verb."""
    return getattr(__import__(f"engine.cli.compose.{place[0]}", fromlist=[place[1]]), place[1])


def run_verb(session: Session, options: flags.Options, arguments: list[str]) -> int:
    if not arguments:
        out(COMPOSE.help("compose", SUMMARY))
        return 0
    word, *words = arguments
    place = find(word)
    if word in UNSUPPORTED:
        raise CommandError(f"docket: the command compose {word} is not supported: {UNSUPPORTED[word]}")
    if place is None:
        from engine.cli.suggestions import hint

        meant = hint(word, VERBS, "docket compose ")
        raise CommandError(
            f"docket: unknown command: docket compose {word}{meant}\n\nRun 'docket compose --help' for more information"
        )
    verb = load(place)
    try:
        chosen, rest = _parsed(verb.parse, f"compose {word}", words)
    except flags.HelpWanted:
        out(verb.help(f"compose {word}", place[2], [f"compose {name}" for name in _names(place)]))
        return 0
    from engine.cli.compose.invocation import DRY_RUN, Invocation
    from engine.compose.project import ComposeError

    if DRY_RUN in verb.flags:
        options.dry_run = options.dry_run or chosen.dry_run
    elif options.dry_run and word in UNPLANNED:
        raise CommandError(f"docket: --dry-run: compose {word} carries out no plan that could be shown instead")
    try:
        return verb.run(Invocation(session, options), chosen, rest)
    except ComposeError as error:
        raise CommandError(str(error), verb.failure) from error


def _parsed(parse: Parse, path: str, words: Sequence[str]) -> tuple[flags.Options, list[str]]:
    """Docker Compose ends with 1 where the flags are wrong, too."""
    try:
        return parse(path, words)
    except CommandError as error:
        raise CommandError(str(error)) from error


def _names(place: Place) -> list[str]:
    names = [name for name, here in VERBS.items() if here == place]
    return names + [other for other, name in OTHER_NAMES.items() if name in names]


class _Compose(Command):
    """The group itself: its help text lists the verbs."""

    def parse(self, path: str, words: Sequence[str]) -> tuple[flags.Options, list[str]]:
        return _parsed(super().parse, path, words)

    def help(self, path: str, summary: str, aliases: Sequence[str] = ()) -> str:
        verbs = "\n".join(f"  {name:<11} {place[2]}" for name, place in sorted(VERBS.items()))
        return (
            f"Usage:  docket {path} {self.usage}\n\n{summary}\n\n"
            f"Options:\n{flags.describe(self.flags, terminal_columns())}\n\nCommands:\n{verbs}\n\n"
            f"Examples:\n  {self.examples}\n\n"
            f"Run 'docket {path} COMMAND --help' for more information on a command.\n"
        )


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"use one of {', '.join(choices)}")
        return text

    return parse


def _refused(value: str) -> bool:
    raise ValueError("the names that Docker Compose 1 gave are not supported")


SUMMARY = "Define and run multi-container applications"
COMPOSE = _Compose(
    run_verb,
    "[OPTIONS] COMMAND",
    flags.listed("-f, --file", "Compose configuration files", kind="stringArray"),
    flags.text("-p, --project-name", "Project name"),
    flags.listed("--profile", "Specify a profile to enable", kind="stringArray"),
    flags.listed("--env-file", "Specify an alternate environment file", kind="stringArray"),
    flags.text("--project-directory", "Specify an alternate working directory (default: the path of the first "
               "Compose file)"),
    flags.switch("--all-resources", "Include all resources, even those not used by services"),
    flags.text("--ansi", "Control when to print ANSI control characters (never, always, auto)", "auto",
               parse=_one_of("never", "always", "auto")),
    flags.text("--progress", "Set type of progress output (auto, tty, plain, json, quiet)", "auto",
               parse=_one_of("auto", "tty", "plain", "json", "quiet")),
    flags.integer("--parallel", "Control max parallelism, -1 for unlimited", -1),
    flags.Flag("--compatibility", "", "Refused: names of Docker Compose 1", False, _refused),
    flags.switch("--dry-run", "Show what would be done, and do nothing"),
    interspersed=False,
    examples="docket compose -f compose.yaml -p shop config --services",
)  # fmt: skip
