"""Docker's settings of a user: ``config.json`` in $DOCKER_CONFIG, else in ``~/.docker``.

The file is replaced atomically, with mode 0600, and everything in it that is not ours stays.
"""

from __future__ import annotations

import os

from engine.client.errors import ClientError
from engine.client.jsontext import decode, encode, indent

TYPE_CHECKING = False  # the typing module would cost 5 ms
if TYPE_CHECKING:
    from typing import Any

_SIZE_LIMIT_BYTES = 4 << 20


def config_folder() -> str:
    """The folder of Docker's settings, which need not exist."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    return os.path.abspath(folder)


def object_in(config: dict[str, Any], key: str) -> dict[str, Any]:
    """The object under a key; {} for anything else."""
    value = config.get(key)
    return value if isinstance(value, dict) else {}


class ConfigFile:
    """Reading never writes; changes are made under ``locked``. All raise ClientError."""

    def __init__(self, folder: str = "") -> None:
        self.path = os.path.join(folder or config_folder(), "config.json")

    def read(self) -> dict[str, Any]:
        """{} where there is no file."""
        try:
            with open(self.path, "rb") as file:
                body = file.read(_SIZE_LIMIT_BYTES)
            config = decode(body) if body.strip() else {}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ClientError(f"{self.path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ClientError(f"{self.path} is no valid JSON: {error}") from error
        if not isinstance(config, dict):
            raise ClientError(f"{self.path} holds no JSON object")
        return config

    def locked(self) -> Locked:
        """A context in which the file may be replaced: two changes at once both count."""
        return Locked(self.path)


class Locked:
    """The file while it is changed: its folder is locked."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)  # a link to a file elsewhere stays a link
        self._folder = os.path.dirname(self._path)

    def __enter__(self) -> Locked:
        import fcntl

        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            self._fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            raise ClientError(f"{self._folder}: {error.strerror}") from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def replace(self, config: dict[str, Any]) -> None:
        """Write the whole file anew."""
        replace_file(self._path, (indent(encode(config), "\t") + "\n").encode("utf-8", "surrogateescape"))


def replace_file(path: str, data: bytes) -> None:
    """Under another name first, synced, then renamed; the owner stays who it was (``sudo`` with another's HOME).

    Raises ClientError."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with open(fd, "wb") as file:
                owner = os.stat(path if os.path.exists(path) else os.path.dirname(path))
                if os.geteuid() == 0 and owner.st_uid != 0:
                    os.fchown(fd, owner.st_uid, owner.st_gid)
                file.write(data)
                file.flush()
                os.fsync(fd)
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise ClientError(f"{path}: {error.strerror}") from error
