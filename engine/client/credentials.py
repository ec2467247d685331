"""The user's registry credentials, where Docker keeps them: ``config.json`` in $DOCKER_CONFIG, else in ``~/.docker``.

    {"auths": {SERVER: {"auth": base64("user:password"), "identitytoken": ...}},
     "credsStore": HELPER, "credHelpers": {SERVER: HELPER}}

A server is a registry's host with its port; docker.io's is the address of its index, for historical reasons. A helper
that is named for a server (or for all) keeps the secrets in place of the file.
"""

from __future__ import annotations

import binascii

from engine.client.config_file import ConfigFile, object_in
from engine.client.credential_helper import CredentialHelper
from engine.client.errors import ClientError
from engine.client.jsontext import encode

TYPE_CHECKING = False  # the typing module would cost 5 ms
if TYPE_CHECKING:
    from typing import Any, Iterator

DOCKER_HUB = "https://index.docker.io/v1/"
_HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")


def server_of(address: str) -> str:
    """The key under which a registry's credentials are kept: of what people type at login ("" for docker.io)."""
    host = _host(address)
    return DOCKER_HUB if not host or host in _HUB_HOSTS else host


def registry_of(reference: str) -> str:
    """The host of the registry that an image's name belongs to; ``docker.io`` where the name says none."""
    first, slash, _ = reference.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first)
    return "docker.io" if not named or first in _HUB_HOSTS else first


def auth_header(auth: dict[str, str]) -> str:
    """The value of X-Registry-Auth (URL-safe base64 of JSON); "" for no credentials."""
    return _base64(encode(auth)).replace("+", "-").replace("/", "_") if auth else ""


_PROXIES = {
    "httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY", "ftpProxy": "FTP_PROXY", "noProxy": "NO_PROXY",
    "allProxy": "ALL_PROXY",
}  # fmt: skip


class CredentialFile:
    """Reading never writes; ``store`` and ``erase`` replace the file under a lock. All raise ClientError."""

    def __init__(self, folder: str = "") -> None:
        self._file = ConfigFile(folder)
        self.path = self._file.path

    def get(self, address: str) -> dict[str, str]:
        """``serveraddress`` with ``username`` and ``password``, or with ``identitytoken``; {} where nothing is kept."""
        server, config = server_of(address), self._file.read()
        found = self._helper(config, server).get(server) if self._helper_name(config, server) else {}
        found = found or self._kept(config, server)
        return {**found, "serveraddress": server} if found else {}

    def all(self) -> dict[str, dict[str, str]]:
        """Server -> what ``get`` gives, for everything that is kept (a build may need any of it)."""
        config = self._file.read()
        servers = [*object_in(config, "auths"), *object_in(config, "credHelpers")]
        if config.get("credsStore"):
            servers += CredentialHelper(str(config["credsStore"])).servers()
        found = {server: self.get(server) for server in dict.fromkeys(map(server_of, servers))}
        return {server: auth for server, auth in found.items() if auth}

    def proxies(self, host: str = "") -> dict[str, str]:
        """The proxies that builds and containers are to use, as variables in both spellings: what the file has under
        ``proxies`` for the engine at ``host``, else for ``default``."""
        every = object_in(self._file.read(), "proxies")
        chosen = object_in(every, host if host and host in every else "default")
        found = {}
        for key, name in _PROXIES.items():
            if isinstance(value := chosen.get(key), str) and value:
                found |= {name: value, name.lower(): value}
        return found

    def store(self, address: str, auth: dict[str, str]) -> str:
        """Keep credentials: ``username`` and ``password``, and ``identitytoken`` where the registry gave one, which is
        then kept in place of the password. Answers with the file's path where secrets lie in it, "" where a helper has
        them."""
        server = server_of(address)
        with self._file.locked() as file:
            config = self._file.read()
            if self._helper_name(config, server):
                self._helper(config, server).store(server, auth)
                entry: dict[str, str] = {}
            else:
                entry = _entry(auth)
            auths = object_in(config, "auths")
            for name in self._names(auths, server):
                del auths[name]
            config["auths"] = {**auths, server: entry}
            file.replace(config)
        return self.path if entry else ""

    def erase(self, address: str) -> bool:
        """Forget what is kept for a server. Answers whether there was something."""
        server = server_of(address)
        if not self.get(server) and not list(self._names(object_in(self._file.read(), "auths"), server)):
            return False
        with self._file.locked() as file:
            config = self._file.read()
            if self._helper_name(config, server):
                self._helper(config, server).erase(server)
            auths = object_in(config, "auths")
            names = list(self._names(auths, server))
            for name in names:
                del auths[name]
            if names:
                file.replace(config)
        return True

    # --- the file ---

    @staticmethod
    def _helper_name(config: dict[str, Any], server: str) -> str:
        return str(object_in(config, "credHelpers").get(server) or config.get("credsStore") or "")

    def _helper(self, config: dict[str, Any], server: str) -> CredentialHelper:
        return CredentialHelper(self._helper_name(config, server))

    @staticmethod
    def _names(auths: dict[str, Any], server: str) -> Iterator[str]:
        """The spellings under which a server is in the file: older clients kept URLs."""
        return (name for name in list(auths) if server_of(name) == server)

    def _kept(self, config: dict[str, Any], server: str) -> dict[str, str]:
        auths = object_in(config, "auths")
        entry = auths.get(server) or next((auths[name] for name in self._names(auths, server)), None)
        if not isinstance(entry, dict):
            return {}
        if entry.get("identitytoken"):
            return {"identitytoken": str(entry["identitytoken"])}
        if not entry.get("auth"):
            return {}
        try:
            plain = binascii.a2b_base64(str(entry["auth"]).encode(), strict_mode=True)
        except ValueError as error:
            raise ClientError(f"{self.path}: auth of {server} is no base64") from error
        username, colon, password = plain.decode(errors="surrogateescape").partition(":")
        if not colon:
            raise ClientError(f"{self.path}: auth of {server} is no user name and password")
        return {"username": username, "password": password.rstrip("\0")}


def _host(address: str) -> str:
    """Scheme and path taken off: ``https://host:5000/v1/`` is ``host:5000``."""
    return address.partition("://")[2].partition("/")[0] if "://" in address else address.partition("/")[0]


def _base64(text: str) -> str:
    return binascii.b2a_base64(text.encode(errors="surrogateescape"), newline=False).decode()


def _entry(auth: dict[str, str]) -> dict[str, str]:
    token = auth.get("identitytoken") or ""
    kept = {"auth": _base64(f"{auth.get('username', '')}:{'' if token else auth.get('password', '')}")}
    return {**kept, "identitytoken": token} if token else kept
