"""Finding and executing the command, with errors in the words and exit codes that Docker's clients know."""

from __future__ import annotations

import errno
import os
import stat

import _signal as signal

from engine.runtime.setup import CommandError, Operation, Setup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, Sequence

NOT_FOUND = 127
NOT_EXECUTABLE = 126


class FindCommand(Operation):
    """Look the command up as the process's own user: in its PATH, or from its working directory."""

    step = "exec.start"

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self._name = arguments[0] if arguments else ""
        self._path = environment.get("PATH", "")

    def execute(self, setup: Setup) -> None:
        if not self._name:
            raise CommandError(errno.EINVAL, "no command specified", NOT_FOUND)
        if "/" in self._name:
            self._check(self._name)
            setup.command = self._name
            return
        for folder in self._path.split(":"):
            candidate = os.path.join(folder or ".", self._name)
            if _is_program(candidate):
                setup.command = candidate
                return
        raise CommandError(errno.ENOENT, f'exec: "{self._name}": executable file not found in $PATH', NOT_FOUND)

    def _check(self, path: str) -> None:
        try:
            found = os.stat(path)
        except OSError as error:
            reason = (error.strerror or "").lower()
            code = NOT_FOUND if error.errno in (errno.ENOENT, errno.ENOTDIR) else NOT_EXECUTABLE
            raise CommandError(error.errno or 0, f'exec: "{path}": stat {path}: {reason}', code) from error
        if stat.S_ISDIR(found.st_mode):
            raise CommandError(errno.EACCES, f'exec: "{path}": is a directory: permission denied', NOT_EXECUTABLE)
        if not _is_program(path):
            raise CommandError(errno.EACCES, f'exec: "{path}": permission denied', NOT_EXECUTABLE)


def _is_program(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK, effective_ids=True)
    except OSError:
        return False


def environment_of(entries: Sequence[str], home: str) -> dict[str, str]:
    """NAME=value entries as a dictionary, a later one winning; HOME is the user's where nobody set it."""
    environment = {}
    for entry in entries:
        name, separator, value = entry.partition("=")
        if name and separator:
            environment[name] = value
    environment.setdefault("HOME", home)
    return environment


def execute(path: str, arguments: Sequence[str], environment: dict[str, str], umask: int = 0o022) -> NoReturn:
    """execve(2) with signals as a fresh process has them. Raises CommandError."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)  # Python ignores SIGPIPE, and who knows what the daemon's parent ignored
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(umask)
    try:
        os.execve(path, list(arguments), environment)
    except OSError as error:
        code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
        reason = (error.strerror or "").lower()
        raise CommandError(error.errno or 0, f"exec {path}: {reason}", code) from error
    except ValueError as error:
        raise CommandError(errno.EINVAL, f"exec {path}: {error}", NOT_EXECUTABLE) from error
