"""The user's registry credentials, where Docker keeps them: ``config.json`` in $DOCKER_CONFIG, else in ``~/.docker``.

    {"auths": {SERVER: {"auth": base64("user:password"), "identitytoken": ...}},
     "credsStore": HELPER, "credHelpers": {SERVER: HELPER}}

A server is a registry's host with its port; docker.io's is the address of its index, for historical reasons. A helper
that is named for a server (or for all) keeps the secrets in place of the file. The file is replaced atomically, with
mode 0600, and everything in it that is not ours stays.
"""

from __future__ import annotations

import binascii
import fcntl
import os

from engine.client.credential_helper import CredentialHelper
from engine.client.errors import ClientError
from engine.client.jsontext import decode, encode, indent

TYPE_CHECKING = False  # the typing module would cost 5 ms
if TYPE_CHECKING:
    from typing import Any, Iterator

DOCKER_HUB = "https://index.docker.io/v1/"
_HUB_HOSTS = ("docker.io", "index.docker.io", "registry-1.docker.io")
_SIZE_LIMIT_BYTES = 4 << 20


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
        self.path = os.path.join(folder or _folder(), "config.json")

    def get(self, address: str) -> dict[str, str]:
        """``serveraddress`` with ``username`` and ``password``, or with ``identitytoken``; {} where nothing is kept."""
        server, config = server_of(address), self._read()
        found = self._helper(config, server).get(server) if self._helper_name(config, server) else {}
        found = found or self._kept(config, server)
        return {**found, "serveraddress": server} if found else {}

    def all(self) -> dict[str, dict[str, str]]:
        """Server -> what ``get`` gives, for everything that is kept (a build may need any of it)."""
        config = self._read()
        servers = [*_object(config, "auths"), *_object(config, "credHelpers")]
        if config.get("credsStore"):
            servers += CredentialHelper(str(config["credsStore"])).servers()
        found = {server: self.get(server) for server in dict.fromkeys(map(server_of, servers))}
        return {server: auth for server, auth in found.items() if auth}

    def proxies(self, host: str = "") -> dict[str, str]:
        """The proxies that builds and containers are to use, as variables in both spellings: what the file has under
        ``proxies`` for the engine at ``host``, else for ``default``."""
        every = _object(self._read(), "proxies")
        chosen = _object(every, host if host and host in every else "default")
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
        with _Locked(self.path) as file:
            config = self._read()
            if self._helper_name(config, server):
                self._helper(config, server).store(server, auth)
                entry: dict[str, str] = {}
            else:
                entry = _entry(auth)
            auths = _object(config, "auths")
            for name in self._names(auths, server):
                del auths[name]
            config["auths"] = {**auths, server: entry}
            file.replace(_text(config))
        return self.path if entry else ""

    def erase(self, address: str) -> bool:
        """Forget what is kept for a server. Answers whether there was something."""
        server = server_of(address)
        if not self.get(server) and not list(self._names(_object(self._read(), "auths"), server)):
            return False
        with _Locked(self.path) as file:
            config = self._read()
            if self._helper_name(config, server):
                self._helper(config, server).erase(server)
            auths = _object(config, "auths")
            names = list(self._names(auths, server))
            for name in names:
                del auths[name]
            if names:
                file.replace(_text(config))
        return True

    # --- the file ---

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, "rb") as file:
                body = file.read(_SIZE_LIMIT_BYTES)
            config = decode(body) if body.strip() else {}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ClientError(f"registry credentials: {self.path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ClientError(f"registry credentials: {self.path} is no valid JSON: {error}") from error
        if not isinstance(config, dict):
            raise ClientError(f"registry credentials: {self.path} holds no JSON object")
        return config

    @staticmethod
    def _helper_name(config: dict[str, Any], server: str) -> str:
        return str(_object(config, "credHelpers").get(server) or config.get("credsStore") or "")

    def _helper(self, config: dict[str, Any], server: str) -> CredentialHelper:
        return CredentialHelper(self._helper_name(config, server))

    @staticmethod
    def _names(auths: dict[str, Any], server: str) -> Iterator[str]:
        """The spellings under which a server is in the file: older clients kept URLs."""
        return (name for name in list(auths) if server_of(name) == server)

    def _kept(self, config: dict[str, Any], server: str) -> dict[str, str]:
        auths = _object(config, "auths")
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
            raise ClientError(f"registry credentials: {self.path}: auth of {server} is no base64") from error
        username, colon, password = plain.decode(errors="surrogateescape").partition(":")
        if not colon:
            raise ClientError(f"registry credentials: {self.path}: auth of {server} is no user name and password")
        return {"username": username, "password": password.rstrip("\0")}


class _Locked:
    """The configuration file while it is changed: the folder is locked, so that two logins at once both count."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)  # a link to a file elsewhere stays a link
        self._folder = os.path.dirname(self._path)

    def __enter__(self) -> _Locked:
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            raise ClientError(f"registry credentials: {self._folder}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def replace(self, text: str) -> None:
        """Under another name first, synced, then renamed; the owner stays who it was (``sudo`` with another's HOME)."""
        temporary = f"{self._path}.{os.getpid()}.tmp"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
                    owner = os.stat(self._path if os.path.exists(self._path) else self._folder)
                    if os.geteuid() == 0 and owner.st_uid != 0:
                        os.fchown(fd, owner.st_uid, owner.st_gid)
                    file.write(text)
                    file.flush()
                    os.fsync(fd)
                os.rename(temporary, self._path)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            raise ClientError(f"registry credentials: {self._path}: {error.strerror}") from error


def _folder() -> str:
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    return os.path.abspath(folder)


def _host(address: str) -> str:
    """Scheme and path taken off: ``https://host:5000/v1/`` is ``host:5000``."""
    return address.partition("://")[2].partition("/")[0] if "://" in address else address.partition("/")[0]


def _object(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _base64(text: str) -> str:
    return binascii.b2a_base64(text.encode(errors="surrogateescape"), newline=False).decode()


def _entry(auth: dict[str, str]) -> dict[str, str]:
    token = auth.get("identitytoken") or ""
    kept = {"auth": _base64(f"{auth.get('username', '')}:{'' if token else auth.get('password', '')}")}
    return {**kept, "identitytoken": token} if token else kept


def _text(config: dict[str, Any]) -> str:
    return indent(encode(config), "\t") + "\n"
