"""Which project is meant: its files, its folder and its variables, from flags, environment and folders."""

from __future__ import annotations

import os

from engine.compose.model.positions import shown_file
from engine.compose.project import ComposeError, LoadOptions
from engine.compose.reading.context import Context
from engine.compose.reading.paths import NO_REMOTE_FILES, is_remote_file
from engine.compose.reading.variables import default_files, with_files
from engine.compose.records import Record

_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml",
)  # fmt: skip


class Place(Record):
    """Where a project lies."""

    files: tuple[str, ...]
    working_dir: str


def find(options: LoadOptions, context: Context) -> Place:
    """The project's files and folder; ``context`` gets its variables. Raises ComposeError."""
    context.environment = dict(options.environment)
    first = _folder(options, options.files)
    _add_variables(context, first)
    files = _files(options, context, os.path.abspath(options.project_directory or "."))
    working_dir = _folder(options, files)
    if working_dir != first:
        _add_variables(context, working_dir)
    return Place(files, working_dir)


def _folder(options: LoadOptions, files: tuple[str, ...]) -> str:
    """The project's folder: the one given, or that of its first file, as far as it is known."""
    if options.project_directory or not files or files[0] == "-":
        return os.path.abspath(options.project_directory or ".")
    return os.path.dirname(os.path.abspath(files[0]))


def _add_variables(context: Context, folder: str) -> None:
    files = default_files(context.environment, context.options.env_files, folder)
    context.environment = with_files(context.environment, files, context.warn_unset)


def _files(options: LoadOptions, context: Context, start: str) -> tuple[str, ...]:
    given = list(options.files)
    if not given and (listed := context.environment.get("COMPOSE_FILE")):
        given = listed.split(context.environment.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)
    if not given:
        return _searched(start, context)
    for file in given:
        if is_remote_file(file):
            raise ComposeError(f"{file}: {NO_REMOTE_FILES}")
    files = tuple(file if file == "-" else os.path.abspath(file) for file in given)
    for file in files:
        if file != "-" and not os.path.isfile(file):
            problem = "is a directory" if os.path.isdir(file) else "no such file or directory"
            raise ComposeError(f"open {shown_file(file)}: {problem}")
    return files


def _searched(start: str, context: Context) -> tuple[str, ...]:
    """The file of the nearest folder upward that has one, and its override file."""
    folder = start
    while True:
        found = [name for name in _FILES if os.path.isfile(os.path.join(folder, name))]
        if found:
            break
        if folder == os.path.dirname(folder):
            raise ComposeError(
                f"no configuration file provided: not found: {', '.join(_FILES)} in {start} or any folder above it"
            )
        folder = os.path.dirname(folder)
    if len(found) > 1:
        context.warn(f"Found multiple config files with supported names: {', '.join(found)}; using {found[0]}")
    overrides = [name for name in _OVERRIDES if os.path.isfile(os.path.join(folder, name))]
    if len(overrides) > 1:
        context.warn(f"Found multiple override files with supported names: {', '.join(overrides)}; "
                     f"using {overrides[0]}")  # fmt: skip
    return tuple(os.path.join(folder, name) for name in (found[0], *overrides[:1]))
