"""Programs that keep credentials (``docker-credential-NAME``), and the protocol that is spoken with them.

The program's one argument says what to do: ``get`` and ``erase`` read a server's address from stdin, ``store`` reads an
object with ServerURL, Username and Secret, which ``get`` answers with; ``list`` answers with an object of addresses and
user names. A user name of ``<token>`` says that the secret is an identity token. Errors come on stdout.
"""

from __future__ import annotations

from engine.client.errors import ClientError
from engine.client.jsontext import decode, encode

TYPE_CHECKING = False  # the typing module would cost 5 ms
if TYPE_CHECKING:
    from typing import Any

PREFIX = "docker-credential-"
_TOKEN_USER = "<token>"
_NOT_FOUND = "credentials not found in native keychain"
_TIMEOUT_S = 120
"""A helper may ask the user to unlock a key ring."""


class CredentialHelper:
    """One program. ``name`` is what follows the prefix; it is looked for in $PATH."""

    def __init__(self, name: str) -> None:
        if not name or "/" in name or "\0" in name:
            raise ClientError(f"credential helper {name!r} is no name of a program: see credsStore and credHelpers")
        self.program = PREFIX + name

    def get(self, server: str) -> dict[str, str]:
        """Username and password, or an identity token; empty where it has none. Raises ClientError."""
        answer = self._ask("get", server, missing="{}")
        username, secret = answer.get("Username") or "", answer.get("Secret") or ""
        if not isinstance(username, str) or not isinstance(secret, str):
            raise ClientError(f"{self.program}: its answer for {server} is no user name and secret")
        if username == _TOKEN_USER:
            return {"identitytoken": secret}
        return {"username": username, "password": secret} if username or secret else {}

    def store(self, server: str, auth: dict[str, str]) -> None:
        """Raises ClientError."""
        token = auth.get("identitytoken")
        username, secret = (_TOKEN_USER, token) if token else (auth.get("username", ""), auth.get("password", ""))
        self._run("store", encode({"ServerURL": server, "Username": username, "Secret": secret}))

    def erase(self, server: str) -> None:
        """What it doesn't have is no error. Raises ClientError."""
        self._run("erase", server, missing="")

    def servers(self) -> list[str]:
        """The addresses that it keeps something for. Raises ClientError."""
        return sorted(self._ask("list", "", missing="{}"))

    def _ask(self, action: str, text: str, missing: str) -> dict[str, Any]:
        try:
            answer = decode(self._run(action, text, missing) or "{}")
        except ValueError as error:
            raise ClientError(f"{self.program} {action}: its answer is no JSON: {error}") from error
        if not isinstance(answer, dict):
            raise ClientError(f"{self.program} {action}: its answer is no JSON object")
        return answer

    def _run(self, action: str, text: str, missing: str | None = None) -> str:
        """What it prints; ``missing`` where it says that it has nothing for the server."""
        import subprocess  # 10 ms, for those who use a helper only

        try:
            done = subprocess.run(
                [self.program, action], input=text.encode(errors="surrogateescape"), capture_output=True,
                check=False, timeout=_TIMEOUT_S,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise ClientError(f"credential helper {self.program} is not in $PATH: install it, or take it out of "
                              "credsStore and credHelpers in config.json") from error  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ClientError(f"{self.program} {action}: {error}") from error
        output = done.stdout.decode(errors="surrogateescape").strip()
        if done.returncode == 0:
            return output
        if missing is not None and output == _NOT_FOUND:
            return missing
        said = output or done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
        raise ClientError(f"{self.program} {action}: {said.splitlines()[0]}")
