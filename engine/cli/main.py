"""The program: global flags, the command, and how each kind of end becomes an exit status.

0 fine, 1 the engine refused or the words were wrong, 125 wrong flags or a refused ``run``, 126/127 a command that
can't be executed or found, else the container's own; 130 after Ctrl-C, and SIGPIPE's death where nobody reads on.
"""

from __future__ import annotations

import os
import sys
from _signal import SIG_DFL, SIGHUP, SIGPIPE, SIGQUIT, SIGTERM, getsignal, signal

from engine.cli import commands, flags
from engine.cli.output import CommandError, err, out
from engine.cli.session import Session
from engine.client.endpoint import TLSChoice
from engine.client.errors import APIError, ClientError

_INTERRUPTED = 130
_SIGNALLED = 128
GLOBAL_FLAGS = (
    flags.text("--config", "Folder of the client's settings (default: $DOCKER_CONFIG, else ~/.docker)"),
    flags.text("-c, --context", "Context to use: overrides $DOCKET_HOST, $DOCKET_CONTEXT and what 'context use' chose"),
    flags.text("-H, --host", "Engine to connect to: unix:///path, tcp://host:port or ssh://user@host (default: "
               "$DOCKET_HOST, else the current context, else docket.sock in the run folder, where an engine is started "
               "if none listens)"),
    flags.text("--root", "Data folder of an engine that is started (default: $DOCKET_ROOT, else /var/lib/docket; "
               "without root ~/.local/share/docket)"),
    flags.text("--run-dir", "Folder of the volatile state and the socket (default: $DOCKET_RUN, else /run/docket; "
               "without root $XDG_RUNTIME_DIR/docket)"),
    *flags.refused("a command that fails says why", "-D, --debug", kind=""),
    *flags.refused("a command that fails says why", "-l, --log-level"),
    flags.switch("--tls", "Use TLS; implied by --tlsverify"),
    flags.text("--tlscacert", "Trust engines with certificates of this CA only (default: ~/.docker/ca.pem)"),
    flags.text("--tlscert", "TLS certificate of this client (default: ~/.docker/cert.pem)"),
    flags.text("--tlskey", "Key of the TLS certificate (default: ~/.docker/key.pem)"),
    flags.switch("--tlsverify", "Use TLS and verify the engine (default: $DOCKET_TLS_VERIFY)"),
    flags.switch("--help", "Print usage"),
    flags.switch("-v, --version", "Print version information and quit"),
)  # fmt: skip


class Terminated(BaseException):
    """A signal asks the program to end: what is open is closed and the terminal restored on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status. What scripts/docket calls."""
    words = sys.argv[1:] if argv is None else argv
    for number in (SIGHUP, SIGQUIT, SIGTERM):
        if getsignal(number) == SIG_DFL:  # nohup's SIG_IGN stays
            signal(number, _terminate)
    try:
        return _dispatch(words)
    except CommandError as error:
        err(str(error))
        return error.status
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Terminated as end:
        return _SIGNALLED + end.number
    except BrokenPipeError:
        _die_of_broken_pipe()
        return 1
    except ClientError as error:
        err(describe(error))
        return 1
    except OSError as error:
        err(f"docket: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
        return 1


def _terminate(number: int, frame: object) -> None:
    raise Terminated(number)


def describe(error: ClientError) -> str:
    """The line for an error of the client, in Docker's words."""
    return f"Error response from daemon: {error}" if isinstance(error, APIError) else str(error)


def _dispatch(words: list[str]) -> int:
    try:
        options, rest = flags.parse(GLOBAL_FLAGS, words, interspersed=False)
    except CommandError as error:
        raise CommandError(f"docket: {error}\n\nRun 'docket --help' for more information", error.status) from error
    if options.version:
        from engine import __version__

        out(f"Docket version {__version__}\n")
        return 0
    if options.help or not rest or rest[0] == "help":
        return _help(rest[1:] if rest[:1] == ["help"] else rest)
    session = _session(options)
    if rest[0] == "__complete":
        from engine.cli.completion import complete

        return complete(session, rest[1:])
    found = commands.find(rest)
    if found is None:
        return _help_or_refuse(rest)
    path, place = found
    command = commands.load(place)
    try:
        chosen, arguments = command.parse(path, rest[len(path.split()) :])
    except flags.HelpWanted:
        return _help(path.split())
    try:
        return command.run(session, chosen, arguments)
    except ClientError as error:
        raise CommandError(describe(error), command.failure) from error
    finally:
        session.close()


def _session(options: flags.Options) -> Session:
    """What the global flags say."""
    if options.config:
        os.environ["DOCKER_CONFIG"] = os.path.abspath(options.config)
    tls = TLSChoice(
        options.tls if "tls" in options.given else None,
        options.tlsverify if "tlsverify" in options.given else None,
        options.tlscacert, options.tlscert, options.tlskey,
    )  # fmt: skip
    return Session(options.host, options.root, options.run_dir, options.context, tls)


def _help_or_refuse(rest: list[str]) -> int:
    if rest[0] in commands.GROUPS and (len(rest) == 1 or rest[1] in ("--help", "-h")):
        return _help(rest[:1])
    from engine.cli.suggestions import UNSUPPORTED_COMMANDS, hint

    whole = " ".join(rest[:2]) if rest[0] in commands.GROUPS else rest[0]
    if whole in UNSUPPORTED_COMMANDS:
        raise CommandError(f"docket: the command {whole} is not supported: {UNSUPPORTED_COMMANDS[whole]}")
    if rest[0] in commands.GROUPS:
        meant = hint(rest[1], commands.GROUPS[rest[0]][1], f"docket {rest[0]} ")
        known, place = rest[:2], f"docket {rest[0]} --help"
    else:
        meant = hint(rest[0], [*commands.COMMANDS, *commands.GROUPS], "docket ")
        known, place = rest[:1], "docket --help"
    raise CommandError(
        f"docket: unknown command: docket {' '.join(known)}{meant}\n\nRun '{place}' for more information"
    )


def _help(words: list[str]) -> int:
    found = commands.find(words)
    if found is not None:
        path, place = found
        out(commands.load(place).help(path, place[2], commands.aliases(place)))
    elif words and words[0] in commands.GROUPS:
        out(commands.group_help(words[0]))
    else:
        return _help_on_topic(words)
    return 0


def _help_on_topic(words: list[str]) -> int:
    from engine.cli import guide

    if not words:
        out(commands.program_help(flags.describe(GLOBAL_FLAGS), guide.topic_list()))
    elif len(words) == 1 and words[0] in guide.TOPICS:
        out(guide.topic_help(words[0]))
    else:
        from engine.cli.suggestions import hint

        meant = hint(words[0], [*commands.COMMANDS, *commands.GROUPS, *guide.TOPICS], "docket help ")
        topics = "Run 'docket help' for commands and topics"
        raise CommandError(f"docket: unknown help topic: {' '.join(words)}{meant}\n\n{topics}")
    return 0


def _die_of_broken_pipe() -> None:
    """End as programs do that write to a pipe nobody reads: by SIGPIPE, without a word."""
    signal(SIGPIPE, SIG_DFL)
    os.kill(os.getpid(), SIGPIPE)


if __name__ == "__main__":
    sys.exit(main())
