"""Named endpoints, kept where and as Docker keeps its contexts, so that both commands know them.

    ~/.docker/contexts/meta/<SHA-256 of the name>/meta.json      {"Name", "Metadata", "Endpoints": {"docker": {"Host"}}}
    ~/.docker/contexts/tls/<SHA-256 of the name>/docker/ca.pem   and cert.pem, key.pem
    ~/.docker/config.json                                        "currentContext"

Everything raises ClientError.
"""

from __future__ import annotations

import os

from engine.client import jsontext
from engine.client.address import Address, parse_address
from engine.client.config_file import ConfigFile, config_folder, object_in, replace_file
from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT = "default"
ENDPOINT = "docker"
TLS_NAMES = ("ca.pem", "cert.pem", "key.pem")
_SIZE_LIMIT_BYTES = 1 << 20


def check_name(name: str) -> str:
    """The name, if a context may have it."""
    if name == DEFAULT:
        raise ClientError('"default" is a reserved context name')
    first, rest = name[:1], name[1:]
    if not (first.isascii() and first.isalnum() and rest and all(_may_follow(mark) for mark in rest)):
        raise ClientError(
            f'context name "{name}" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"'
        )
    return name


def _may_follow(mark: str) -> bool:
    return mark.isascii() and (mark.isalnum() or mark in "_.+-")


class Context:
    """One entry of the store. ``metadata`` is the description and whatever else tools keep; ``host`` is not checked."""

    __slots__ = ("endpoints", "metadata", "name")

    def __init__(self, name: str, metadata: dict[str, Any], endpoints: dict[str, Any]) -> None:
        self.name = name
        self.metadata = metadata
        self.endpoints = endpoints

    @property
    def host(self) -> str:
        return str(object_in(self.endpoints, ENDPOINT).get("Host") or "")

    @property
    def skip_tls_verify(self) -> bool:
        return object_in(self.endpoints, ENDPOINT).get("SkipTLSVerify") is True

    @property
    def description(self) -> str:
        return str(self.metadata.get("Description") or "")

    def document(self) -> dict[str, Any]:
        """As ``meta.json`` has it."""
        return {"Name": self.name, "Metadata": self.metadata, "Endpoints": self.endpoints}


class ContextStore:
    """The contexts of one user."""

    def __init__(self, folder: str = "") -> None:
        self.folder = os.path.join(folder or config_folder(), "contexts")
        self._config = ConfigFile(folder)

    def meta_folder(self, name: str) -> str:
        return os.path.join(self.folder, "meta", _digest(name))

    def tls_folder(self, name: str) -> str:
        return os.path.join(self.folder, "tls", _digest(name))

    def get(self, name: str) -> Context:
        path = os.path.join(self.meta_folder(name), "meta.json")
        try:
            return context_of(_read(path), path)
        except FileNotFoundError:
            raise ClientError(f'context "{name}": context not found: open {path}: no such file or directory') from None

    def all(self) -> list[Context]:
        """By name; "default" is not among them."""
        folder = os.path.join(self.folder, "meta")
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = []
        for name in names:
            path = os.path.join(folder, name, "meta.json")
            try:
                found.append(context_of(_read(path), path))
            except (FileNotFoundError, NotADirectoryError):
                continue  # something that is no context
        return sorted(found, key=lambda context: context.name)

    def tls_files(self, name: str) -> list[str]:
        """Which of TLS_NAMES it has."""
        folder = os.path.join(self.tls_folder(name), ENDPOINT)
        return [file for file in TLS_NAMES if os.path.exists(os.path.join(folder, file))]

    def address(self, name: str) -> Address:
        """Where its engine listens, with its certificates."""
        context = self.get(name)
        if not context.host:
            raise ClientError(f'context "{name}" has no docker endpoint')
        files = self.tls_files(name)
        if not files and not context.skip_tls_verify:
            return parse_address(context.host)
        from engine.client.tls import TLSFiles

        folder = os.path.join(self.tls_folder(name), ENDPOINT)
        paths = [os.path.join(folder, file) if file in files else "" for file in TLS_NAMES]
        return parse_address(context.host, TLSFiles(*paths, verify=not context.skip_tls_verify))

    # --- changes ----------------------------------------------------------------------------------------------------

    def put(self, context: Context, tls: dict[str, bytes] | None = None) -> None:
        """Write it, over one of the same name. ``tls`` (name -> PEM) replaces its certificates, None keeps them."""
        meta = self.meta_folder(context.name)
        _make_folder(meta)
        if tls is not None:
            folder = os.path.join(self.tls_folder(context.name), ENDPOINT)
            _remove(self.tls_folder(context.name))
            for name, data in tls.items():
                _make_folder(folder)
                replace_file(os.path.join(folder, name), data)
        replace_file(os.path.join(meta, "meta.json"), jsontext.encode(context.document()).encode())

    def remove(self, name: str) -> None:
        self.get(name)
        _remove(self.meta_folder(name))
        _remove(self.tls_folder(name))

    @property
    def current(self) -> str:
        """What ``use`` chose; "" for the default."""
        name = self._config.read().get("currentContext")
        return name if isinstance(name, str) and name != DEFAULT else ""

    def use(self, name: str) -> None:
        """Make it the one that commands speak with where nothing else says so; ""  and "default" take that back."""
        chosen = "" if name == DEFAULT else name
        if chosen == self.current:
            return
        with self._config.locked() as file:
            config = self._config.read()
            config.pop("currentContext", None)
            file.replace({**config, "currentContext": chosen} if chosen else config)


def _digest(name: str) -> str:
    import hashlib  # 6 ms, for those who have contexts only

    return hashlib.sha256(name.encode()).hexdigest()


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_SIZE_LIMIT_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise ClientError(f"{path}: {error.strerror}") from error


def context_of(data: bytes, where: str) -> Context:
    """What a ``meta.json`` says."""
    try:
        value = jsontext.decode(data)
    except (ValueError, RecursionError) as error:
        raise ClientError(f"{where} is no valid JSON: {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get("Name"), str):
        raise ClientError(f"{where} is no context: it has no name")
    return Context(value["Name"], object_in(value, "Metadata"), object_in(value, "Endpoints"))


def _make_folder(path: str) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise ClientError(f"{path}: {error.strerror}") from error


def _remove(folder: str) -> None:
    """A folder of the store: two levels at most."""
    try:
        for place, folders, files in os.walk(folder, topdown=False):
            for file in files:
                os.unlink(os.path.join(place, file))
            for inner in folders:
                os.rmdir(os.path.join(place, inner))
        if os.path.isdir(folder):
            os.rmdir(folder)
    except OSError as error:
        raise ClientError(f"{folder}: {error.strerror}") from error
