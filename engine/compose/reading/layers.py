"""From a compose file to the documents in it: variables filled in, checked against the schema, in long form."""

from __future__ import annotations

import sys

from engine.compose.model import schema
from engine.compose.model.elements import PROJECT
from engine.compose.model.positions import Path, Positions, dotted, shown_file
from engine.compose.project import ComposeError
from engine.compose.reading.context import Context
from engine.compose.reading.documents import Document, documents
from engine.compose.reading.forms import LongForms
from engine.compose.reading.interpolation import Interpolation
from engine.compose.reading.merging import without_repeats
from engine.compose.reading.paths import resolve_paths, resolver
from engine.compose.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Collection


class Layer(Record):
    """One document, ready to be merged over others. Relative paths in it are meant from ``folder``; ``replaced`` are
    the paths whose former value it takes away."""

    file: str
    folder: str
    value: dict[str, Any]
    positions: Positions
    replaced: list[Path]


def read_layers(file: str, folder: str, context: Context, known: Collection[str] = ()) -> list[Layer]:
    """The documents of a file ("-" is standard input). Relative paths in it are meant from ``folder``; ``extends`` and
    ``include`` stay as they are. ``known`` are the services of the files before it: of those it may have the bare name,
    which says nothing. Raises ComposeError."""
    found = documents(read_text(file), file)
    return [_layer(document, folder, context, known) for document in found if document.value is not None]


def read_text(file: str) -> str:
    """A file's text, or standard input's. Raises ComposeError."""
    try:
        if file == "-":
            return sys.stdin.read()
        with open(file, encoding="utf-8-sig") as opened:
            return opened.read()
    except UnicodeDecodeError as error:
        raise ComposeError(f"{shown_file(file)}: not UTF-8 text at byte {error.start}") from error
    except OSError as error:
        raise ComposeError(f"open {shown_file(file)}: {(error.strerror or str(error)).lower()}") from error


def _layer(document: Document, folder: str, context: Context, known: Collection[str]) -> Layer:
    value, positions = document.value, document.positions
    if not isinstance(value, dict):
        raise ComposeError(f"{shown_file(document.file)}: top-level object must be a mapping")
    if context.options.interpolate:
        interpolation = Interpolation(context.environment)
        value = interpolation.apply(value, positions)
        for name in interpolation.unset:
            context.warn_unset(name)
        value = PROJECT.cast(value, (), positions)
    _drop_bare_names(value, known)
    _note_empty(value, positions, context)
    schema.validate(value, positions)
    if value.pop("version", None) is not None:
        context.warn(f"{positions.describe(('version',)) or shown_file(document.file) + ': '}"
                     "the attribute `version` is obsolete, it will be ignored, please remove it")  # fmt: skip
    value = without_repeats(LongForms(positions, context.warn, lenient=not context.options.interpolate).apply(value))
    for path in PROJECT.unknown(value, ()):
        if path[0] != "include":
            context.warn(f"{positions.describe(path)}{dotted(path)}: takes no effect: it is not supported")
    if context.options.resolve_paths:
        resolve_paths(value, resolver(folder, context.home))
    return Layer(document.file, folder, value, positions, document.replaced)


def _drop_bare_names(value: dict[str, Any], known: Collection[str]) -> None:
    services = value.get("services")
    for name in [name for name in known if services.get(name, ...) is None] if isinstance(services, dict) else ():
        del services[name]


def _note_empty(value: dict[str, Any], positions: Positions, context: Context) -> None:
    """Take out the keys of services that have no value where the schema wants one, with a warning each: an empty
    ``ports:`` is common in the wild, and means no ports."""
    services = value.get("services")
    for name, service in services.items() if isinstance(services, dict) else ():
        for key in [key for key, item in service.items() if item is None] if isinstance(service, dict) else ():
            if key not in ("command", "entrypoint", "develop", "deploy") and not key.startswith("x-"):
                del service[key]
                path = ("services", name, key)
                context.warn(f"{positions.describe(path)}services.{name}.{key}: has no value, and is taken as empty")
