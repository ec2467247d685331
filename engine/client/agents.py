"""Agents of ssh that the steps of a build may ask: ``--ssh ID[=SOCKET|KEY[,KEY...]]``.

The engine gets neither keys nor sockets. For each agent a connection to the engine is kept ready; when a step's
program is joined to it (a byte comes), the next one is made ready, and the program's questions are passed on to the
agent: those for the list of keys, for signatures, and the binding to a session, which only narrows what a key may be
used for. A step can't add keys, remove them or lock the agent. Keys in files are given to an agent that lasts as long
as the build.
"""

from __future__ import annotations

import os
import stat
from _thread import allocate_lock, start_new_thread  # threading takes longer to load than most commands have

from engine.client.address import Address
from engine.client.api import Client
from engine.client.connection import connect
from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Callable, Mapping, Sequence

    from engine.client.connection import Connection

HEADER = "X-Docket-Agents"
_PATH = "/docket/build/agent"
_DEFAULT = "default"
_MOST_BYTES = 256 * 1024
"""The most that agents take for one message (OpenSSH's AGENT_MAX_LEN)."""
_IDENTITIES, _SIGN, _EXTENSION = 11, 13, 27  # draft-ietf-sshm-ssh-agent, section 6.1
_SESSION_BIND = b"session-bind@openssh.com"
_FAILURE = b"\0\0\0\1\5"
_OWN_AGENT = 'ssh-add -q -- "$@" </dev/null && echo "$SSH_AUTH_SOCK" && cat; kill "$SSH_AGENT_PID"'
"""What an agent for keys in files is started with: it ends with our end of the pipe to ``cat``."""


def parse_agents(given: Sequence[str], environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Paths by id: of one socket, or of keys. Raises ClientError."""
    found: dict[str, list[str]] = {}
    for text in given:
        name, _, paths = text.partition("=")
        name = name or _DEFAULT
        if name in found:
            raise ClientError(f"--ssh {text}: the id {name} is given twice")
        found[name] = [path for path in paths.split(",") if path] or [environment.get("SSH_AUTH_SOCK") or ""]
        if not found[name][0]:
            raise ClientError(f"--ssh {text}: no agent is there: set SSH_AUTH_SOCK, or name a socket or a key")
        sockets = [path for path in found[name] if _is_socket(path, text)]
        if sockets and len(found[name]) > 1:
            raise ClientError(f"--ssh {text}: a socket stands alone: keys are in the agent behind it")
    return found


def _is_socket(path: str, text: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError as error:
        raise ClientError(f"--ssh {text}: {path}: {(error.strerror or '').lower()}") from error


class Agents:
    """Serves a build's agents, as parse_agents gives them, in threads of its own while the context lasts, which
    begins with the headers of the build's request."""

    def __init__(self, agents: Mapping[str, Sequence[str]], engine: Address) -> None:
        self._agents = agents
        self._engine = engine
        self._sockets: dict[str, str] = {}
        self._own: list[subprocess.Popen[str]] = []
        self._open: set[Connection] = set()
        self._guard = allocate_lock()
        self._ended = False
        self._word = os.urandom(16).hex()

    def __enter__(self) -> Mapping[str, str]:
        try:
            for name, paths in self._agents.items():
                self._sockets[name] = paths[0] if _is_socket(paths[0], name) else self._agent_of(paths)
                self._keep_ready(name)
        except BaseException:
            self._end()
            raise
        return {HEADER: self._word} if self._agents else {}

    def __exit__(self, *exception: object) -> None:
        self._end()

    def _end(self) -> None:
        with self._guard:
            self._ended = True
            for connection in self._open:
                connection.break_off()
        for process in self._own:
            process.communicate()

    def _agent_of(self, keys: Sequence[str]) -> str:
        """Start an agent for keys, which asks for their pass phrases itself. Answers with its socket."""
        import subprocess

        try:
            process = subprocess.Popen(
                ["ssh-agent", "sh", "-c", _OWN_AGENT, "sh", *keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True,
            )  # fmt: skip
        except OSError as error:
            raise ClientError("keys need the program ssh-agent, which can't be started") from error
        self._own.append(process)
        assert process.stdout is not None
        if not (path := process.stdout.readline().strip()):
            raise ClientError(f"{', '.join(keys)}: ssh-add takes no key of it: name a key, or the socket of an agent")
        return path

    # --- connections ---

    def _keep_ready(self, name: str) -> None:
        connection = Client(self._engine).hijack(_PATH, query={"id": name}, headers={HEADER: self._word}).connection
        with self._guard:
            self._open.add(connection)
            if self._ended:
                connection.break_off()
        start_new_thread(self._wait, (name, connection))

    def _wait(self, name: str, connection: Connection) -> None:
        try:
            if connection.receive(1):
                self._keep_ready(name)
                _serve(connection, self._sockets[name])
        except (OSError, ClientError):
            return  # the agent or the engine is gone: the step's program sees its connection end
        finally:
            with self._guard:
                self._open.discard(connection)
                connection.close()


def _serve(connection: Connection, path: str) -> None:
    """Questions and answers, one after the other, until the program is done. Raises OSError, ClientError."""
    agent = connect(Address(path=path))
    try:
        while (question := _message(connection.receive)) is not None:
            if _is_allowed(question[4:]):
                agent.sendall(question)
                answer = _message(agent.recv)
                if answer is None:
                    return
                connection.send(answer)
            else:
                connection.send(_FAILURE)
    finally:
        agent.close()


def _message(receive: Callable[[int], bytes]) -> bytes | None:
    """A whole message with its length; None where there is none more, or one too large."""
    head = _exactly(receive, 4)
    size = int.from_bytes(head or b"", "big")
    body = _exactly(receive, size) if 0 < size <= _MOST_BYTES else None
    return None if head is None or body is None else head + body


def _exactly(receive: Callable[[int], bytes], size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        if not (piece := receive(size - len(data))):
            return None
        data += piece
    return data


def _is_allowed(body: bytes) -> bool:
    if body[0] == _EXTENSION:
        return body[1:].startswith(len(_SESSION_BIND).to_bytes(4, "big") + _SESSION_BIND)
    return body[0] in (_IDENTITIES, _SIGN)
