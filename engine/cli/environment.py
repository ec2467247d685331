"""Environment variables and labels: from the command line and from files of one NAME=value a line.

Raises CommandError."""

from __future__ import annotations

import os

from engine.cli.output import CommandError
from engine.cli.session import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence


def environment(files: Sequence[str], given: Sequence[str]) -> list[str]:
    """The files' variables first; a name alone takes the value that it has here, if any."""
    return _from_files(files) + _resolved(given)


def _resolved(given: Sequence[str]) -> list[str]:
    """"A=b" as it is, "A" with this process's value."""
    resolved = []
    for entry in given:
        name, has_value, _ = entry.partition("=")
        if not name:
            raise CommandError(f"invalid environment variable: {entry}")
        if has_value:
            resolved.append(entry)
        elif name in os.environ:
            resolved.append(f"{name}={os.environ[name]}")
    return resolved


def _from_files(files: Sequence[str]) -> list[str]:
    """The variables of --env-file: NAME=value a line, # comments, names alone as with --env."""
    found = []
    for path in files:
        for number, line in enumerate(_lines(path), 1):
            line = line.removeprefix("\ufeff").lstrip()
            if not line or line.startswith("#"):
                continue
            name, has_value, _ = line.partition("=")
            if not name or any(mark.isspace() for mark in name.rstrip() if has_value) or name != name.rstrip():
                raise CommandError(
                    f"invalid env file ({path}): variable '{name}' contains whitespaces (line {number})"
                )
            found += _resolved([line if has_value else name.strip()])
    return found


def _lines(path: str) -> list[str]:
    return [line.rstrip("\r") for line in read_file(path).split("\n")]


def labels(files: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """The files' labels, then the command line's; a name alone has an empty value here, and counts for nothing in a
    file, as with Docker."""
    lines = [line.strip() for path in files for line in _lines(path)]
    entries = [line for line in lines if "=" in line and not line.startswith("#")] + list(given)
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}
