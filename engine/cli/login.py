"""``docket login`` and ``docket logout``: credentials are tried at the registry, and kept where Docker keeps them."""

from __future__ import annotations

import os
import sys

from engine.cli.command import Command
from engine.cli.flags import Options, switch, text
from engine.cli.output import CommandError, err, out, printable
from engine.cli.session import Session
from engine.client.credentials import DOCKER_HUB, CredentialFile, server_of
from engine.client.errors import APIError

_PASSWORD_BYTES = 1 << 20


def log_in(session: Session, options: Options, arguments: list[str]) -> int:
    address = arguments[0] if arguments else ""
    server = server_of(address)
    if options.password and options.password_stdin:
        raise CommandError("--password and --password-stdin are mutually exclusive")
    if options.password_stdin and not options.username:
        raise CommandError("the --password-stdin option requires --username to be set")
    if options.password:
        err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    kept = CredentialFile()
    auth = {} if options.username or options.password else kept.get(address)
    if not auth:
        auth = _asked(options, server)
    auth["serveraddress"] = server
    try:
        answer = session.client.call("POST", "/auth", auth)
    except APIError as error:
        raise CommandError(f"Error response from daemon: {error}") from error
    if answer.get("IdentityToken"):
        auth["identitytoken"] = answer["IdentityToken"]
    path = kept.store(address, auth)
    if path:
        err(
            f"\nWARNING! Your credentials are stored unencrypted in '{path}'.\n"
            "Configure a credential helper to remove this warning.\n"
        )
    out(printable(answer.get("Status") or "Login Succeeded") + "\n")
    return 0


def _asked(options: Options, server: str) -> dict[str, str]:
    """User name and password from the options, standard input or the terminal. Raises CommandError."""
    username = options.username
    if options.password_stdin:
        return {"username": username, "password": _from_stdin()}
    if username and options.password:
        return {"username": username, "password": options.password}
    if not os.isatty(0):
        raise CommandError("Error: Cannot perform an interactive login from a non TTY device")
    if not username:
        where = "Docker Hub" if server == DOCKER_HUB else server
        out(f"Log in to {printable(where)}\nUsername: ")
        username = sys.stdin.readline().strip()
        if not username:
            raise CommandError("Error: Non-null Username Required")
    password = options.password or _hidden("Password: ")
    if not password:
        raise CommandError("Error: Password Required")
    return {"username": username, "password": password}


def _from_stdin() -> str:
    """The whole of it, without the line's end."""
    data = b""
    while (piece := os.read(0, 65536)) and len(data) < _PASSWORD_BYTES:
        data += piece
    password = data.decode("utf-8", "surrogateescape").rstrip("\r\n")
    if not password:
        raise CommandError("Error: Password Required")
    return password


def _hidden(prompt: str) -> str:
    """A line of the terminal that it does not show."""
    from getpass import getpass

    return getpass(prompt)


def log_out(session: Session, options: Options, arguments: list[str]) -> int:
    """The registry is not asked: only what is kept here goes."""
    address = arguments[0] if arguments else ""
    server = server_of(address)
    if CredentialFile().erase(address):
        out(f"Removing login credentials for {printable(server)}\n")
    else:
        out(f"Not logged in to {printable(server)}\n")
    return 0


LOGIN = Command(
    log_in,
    "[OPTIONS] [SERVER]",
    text("-p, --password", "Password or Personal Access Token (PAT)"),
    switch("--password-stdin", "Take the Password or Personal Access Token (PAT) from stdin"),
    text("-u, --username", "Username"),
    most=1,
    examples="docket login\ndocket login -u me --password-stdin registry.example.com < token",
)
LOGOUT = Command(log_out, "[SERVER]", most=1, examples="docket logout\ndocket logout registry.example.com")
