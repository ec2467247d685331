"""``docket daemon``, and the daemon that the first command starts by itself."""

from __future__ import annotations

import os
import sys
import time

from engine.cli.command import Command
from engine.cli.flags import Options, integer, listed, switch, text
from engine.cli.output import CommandError
from engine.cli.session import Session
from engine.client.api import Client
from engine.client.connection import Connection
from engine.client.errors import EngineUnreachable

_START_DEADLINE_S = 60.0
"""A slow machine makes the first database in half of that; many containers take time to find again."""
_POLL_S = 0.01
_LAST_BYTES = 4096
_RIVAL = "another docket daemon"
"""Two first commands at once start two daemons; the one that finds the data root locked says so and ends, and then the
other one is the one to wait for."""


def _daemon_argv(root: str, run_dir: str) -> list[str]:
    """-P: the daemon must not import from whatever folder the command was typed in."""
    folders = ["--root", os.path.abspath(root), "--run-dir", os.path.abspath(run_dir)]
    return [sys.executable, "-P", "-m", "engine.daemon", *folders]


def run_in_foreground(session: Session, options: Options, arguments: list[str]) -> int:
    """Become the daemon: a service manager sees one process, and its signals arrive."""
    argv = _daemon_argv(options.root or session.root, options.run_dir or session.run_dir)
    if session.host and not options.host:
        argv.append(f"--host={session.host}")
    argv += ["--config-file", os.path.abspath(options.config_file)] if options.config_file else []
    for flag in _SETTINGS:
        if flag.name in options.given:
            given = getattr(options, flag.name.replace("-", "_"))
            if flag.kind == "":
                argv.append(f"--{'' if given else 'no-'}{flag.name}")
            else:
                argv += [f"--{flag.name}={value}" for value in (given if flag.repeated else [given])]
    os.execv(sys.executable, argv)


def start_daemon(root: str, run_dir: str, client: Client) -> None:
    """Start a daemon of its own session, its messages in ``<run>/daemon.log``, and wait until it answers.

    Raises CommandError with the last line of its log if it ends instead."""
    try:
        if os.geteuid() == 0:
            os.makedirs(run_dir, mode=0o711, exist_ok=True)
        else:
            os.makedirs(root, mode=0o700, exist_ok=True)  # perhaps the run folder is below it
            os.makedirs(run_dir, mode=0o700, exist_ok=True)
        log = os.open(os.path.join(run_dir, "daemon.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        hint = ": --root and --run-dir must be yours, or run it with sudo" if os.geteuid() != 0 else ""
        raise CommandError(f"{error.strerror}: {error.filename}{hint}", 1) from error
    began = os.fstat(log).st_size
    pid = _spawn(_daemon_argv(root, run_dir), log)
    os.close(log)
    ended = False
    deadline = time.monotonic() + _START_DEADLINE_S
    while time.monotonic() < deadline:
        try:
            client.keep(Connection(client.address))
            return
        except EngineUnreachable:
            ended = ended or os.waitpid(pid, os.WNOHANG)[0] != 0
            if ended and _RIVAL not in (last := _last_line(run_dir, began)):
                raise CommandError(f"the daemon did not start: {last.removeprefix('docket: ')}") from None
        time.sleep(_POLL_S)
    if ended:
        raise CommandError(f"the daemon did not start: {_last_line(run_dir, began).removeprefix('docket: ')}")
    what = f"the daemon is still starting after {_START_DEADLINE_S:.0f} s"
    raise CommandError(f"{what}: try again in a moment; what it says is in {run_dir}/daemon.log")


def _spawn(argv: list[str], log: int) -> int:
    """The pid of a detached process with the log as its output. posix_spawn copies no page tables."""
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    try:
        os.chdir("/")  # the daemon keeps no file system busy
        return os.posix_spawn(argv[0], argv, os.environ, file_actions=actions, setsid=True)
    finally:
        os.fchdir(here)
        os.close(here)
        os.close(null)


def _last_line(run_dir: str, began: int) -> str:
    path = os.path.join(run_dir, "daemon.log")
    with open(path, "rb") as log:
        size = os.fstat(log.fileno()).st_size
        log.seek(max(began, size - _LAST_BYTES))
        lines = log.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"see {path}")


_SETTINGS = (
    listed("-H, --host", "Where to listen: unix:///path, or tcp://host:port with --tlsverify (default: docket.sock in "
           "the folder of the volatile state)"),
    switch("--tls", "Use TLS; implied by --tlsverify, without which there is none"),
    switch("--tlsverify", "Listen on TCP by TLS, for clients with a certificate"),
    text("--tlscacert", "CA whose certificates clients must have"),
    text("--tlscert", "Certificate of the engine"),
    text("--tlskey", "Key of the engine's certificate"),
    listed("--registry-mirror", "Registry to ask for Docker Hub's images before Docker Hub itself: a URL"),
    listed("--insecure-registry", "Registry or network that plain HTTP and unknown certificates will do for"),
    integer("--max-concurrent-downloads", "How many blobs are downloaded at once (default: 3)", None),
    integer("--max-concurrent-uploads", "How many blobs are uploaded at once for a push (default: 5)", None),
)
"""What a settings file may say as well (not both)."""

DAEMON = Command(
    run_in_foreground,
    "[OPTIONS]",
    text("--root", "Folder of the data (default: $DOCKET_ROOT, else /var/lib/docket; without root "
         "~/.local/share/docket)"),
    text("--run-dir", "Folder of the volatile state (default: $DOCKET_RUN, else /run/docket; without root "
         "$XDG_RUNTIME_DIR/docket)"),
    text("--config-file", "File of settings (default: $DOCKET_CONFIG, else /etc/docket/daemon.json; without "
         "root ~/.config/docket/daemon.json)"),
    *_SETTINGS,
    most=0,
    examples="docket daemon\ndocket daemon --root /srv/docket --run-dir /run/docket-2\n"
    "docket daemon -H unix:///run/docket/docket.sock -H tcp://0.0.0.0:2376 --tlsverify --tlscacert ca.pem "
    "--tlscert cert.pem --tlskey key.pem",
)
