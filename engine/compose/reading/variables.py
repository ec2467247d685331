"""Where variables come from: the process's environment first, then the files of variables behind it."""

from __future__ import annotations

import os

from engine.compose.model.positions import shown_file
from engine.compose.project import ComposeError
from engine.compose.reading.dotenv import read_variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Mapping

_TRUE = ("1", "t", "true", "yes", "on")


def with_files(
    environment: Mapping[str, str], files: Iterable[str], unset: Callable[[str], None]
) -> dict[str, str]:
    """The environment, and behind it the files' variables; of two files the later one wins. Raises ComposeError."""
    found: dict[str, str] = {}
    for file in files:
        if not os.path.isfile(file):
            raise ComposeError(f"couldn't find env file: {shown_file(file)}")
        found.update(read_variables(file, {**found, **environment}, unset))
    return {**found, **environment}


def default_files(environment: Mapping[str, str], given: Iterable[str], folder: str) -> list[str]:
    """The files that are meant where a project lies in ``folder``: those given, those of COMPOSE_ENV_FILES, or .env."""
    files = list(given) or [name for name in environment.get("COMPOSE_ENV_FILES", "").split(",") if name]
    if files:
        return [os.path.abspath(file) for file in files]
    dotenv = os.path.join(folder, ".env")
    disabled = environment.get("COMPOSE_DISABLE_ENV_FILE", "").lower() in _TRUE
    return [dotenv] if os.path.isfile(dotenv) and not disabled else []
