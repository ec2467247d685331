"""The project's name: -p, COMPOSE_PROJECT_NAME, a top-level ``name``, or the folder's, in this order."""

from __future__ import annotations

import os
import re

from engine.compose.project import ComposeError
from engine.compose.reading.context import Context
from engine.compose.reading.discovery import Place
from engine.compose.reading.documents import documents
from engine.compose.reading.interpolation import InterpolationError, substitute
from engine.compose.reading.layers import read_text

_VALID = r"[a-z0-9][a-z0-9_-]*$"
_NAMED = re.compile(r"""^["']?name["']?\s*:|^\s*\{""", re.MULTILINE)
"""What a text must have in it to have a name at its top."""


def normalized(name: str) -> str:
    """What is left of a name that was not meant as a project's: it begins with a letter or digit."""
    return re.sub(r"[^-_a-z0-9]", "", name.lower()).lstrip("_-")


def given_name(context: Context) -> str:
    """The name by flag or variable; empty where there is none. Raises ComposeError for one that is no name."""
    return checked(context.options.project_name or context.environment.get("COMPOSE_PROJECT_NAME", ""))


def checked(name: str) -> str:
    """The name, if it is one or empty. Raises ComposeError."""
    if name and not re.match(_VALID, name):
        raise ComposeError(
            f"invalid project name {name!r}: must consist only of lowercase alphanumeric characters, hyphens, and "
            "underscores as well as start with a letter or number"
        )
    return name


def name_of_files(place: Place, context: Context) -> str:
    """The name that the files or their folder give, known before the files are loaded: they may use it as a variable.
    Standard input can be read only once, and its name counts later."""
    named = ""
    for file in place.files:
        if file != "-":
            named = _top_level_name(file, context) or named
    return normalized(named or os.path.basename(place.working_dir))


def _top_level_name(file: str, context: Context) -> str:
    text, name = read_text(file), ""
    if not _NAMED.search(text):
        return ""
    for document in documents(text, file):
        if isinstance(document.value, dict) and isinstance(found := document.value.get("name"), str):
            try:
                name = substitute(found, context.environment, context.warn_unset)
            except InterpolationError as error:
                raise document.positions.error(("name",), str(error)) from error
    return name
