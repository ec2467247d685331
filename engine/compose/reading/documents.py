"""YAML documents to plain values with the places of their keys.

Scalars mean what they mean to Docker Compose (YAML 1.2's core schema, and octal numbers with a leading 0): ``yes`` and
``22:22`` are texts. The tags ``!reset`` and ``!override`` of the compose specification are taken out and remembered.
"""

from __future__ import annotations

import re

from engine.compose.model.positions import Path, Positions, shown_file
from engine.compose.project import ComposeError
from engine.compose.reading.pyyaml import pyyaml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

_NODES = 200_000
"""The most nodes that a document may have with its aliases expanded."""
_PLAIN = "docket:plain"
_CORE = "tag:yaml.org,2002:"
_INTEGER = r"[-+]?(0|[1-9][0-9_]*|0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+)$"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WORDS |= {sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")}
_WORDS |= {".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan")}


class Document:
    """One document of a file. ``replaced`` are the paths whose former value ``!reset`` or ``!override`` takes away."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.value: Any = None
        self.positions = Positions()
        self.replaced: list[Path] = []


def documents(text: str, file: str) -> list[Document]:
    """The documents of a text that are not empty. Raises ComposeError with file and line."""
    yaml = pyyaml()
    try:
        nodes = list(yaml.compose_all(text, Loader=_loader(yaml)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        line = min(mark.line, len(text.splitlines()) - 1) + 1 if mark else 1
        raise ComposeError(f"{shown_file(file)}:{line}: not valid YAML: {words}") from error
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ComposeError(f"{shown_file(file)}:{_line_of(error, text)}: not valid YAML: {problem}") from error
    return [_Reader(yaml, file).read(node) for node in nodes if node is not None]


def _line_of(error: Any, text: str) -> int:
    return text.count("\n", 0, getattr(error, "position", 0)) + 1


def _loader(yaml: Any) -> Any:
    """PyYAML's safe loader (the one in C where it is built in), which leaves untagged scalars to us."""
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = type("Loader", (base,), {"yaml_implicit_resolvers": {}})
    loader.add_implicit_resolver(_PLAIN, re.compile("", re.DOTALL), None)
    return loader


def plain_scalar(text: str) -> Any:
    """The value of an untagged scalar without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if re.match(_INTEGER, text):
            return _integer(text.replace("_", ""))
        if re.match(_FLOAT, text):
            return float(text)
    return text


def _integer(digits: str) -> int:
    """As Go's ParseInt reads it with base 0."""
    sign, digits = (-1, digits[1:]) if digits[0] == "-" else (1, digits.removeprefix("+"))
    if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567":
        return sign * int(digits, 8)
    return sign * int(digits, 0)


class _Reader:
    """One document's nodes to values."""

    def __init__(self, yaml: Any, file: str) -> None:
        self._yaml = yaml
        self._document = Document(file)
        self._open: set[int] = set()
        self._count = 0

    def read(self, node: Any) -> Document:
        self._document.value = self._value(node, ())
        return self._document

    def _error(self, node: Any, problem: str) -> ComposeError:
        return ComposeError(f"{shown_file(self._document.file)}:{node.start_mark.line + 1}: {problem}")

    def _value(self, node: Any, path: Path) -> Any:
        self._count += 1
        if self._count > _NODES:
            raise self._error(node, f"the document has more than {_NODES} nodes with its aliases expanded")
        if isinstance(node, self._yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise self._error(node, "an anchor contains its own alias")
        self._open.add(id(node))
        try:
            if isinstance(node, self._yaml.SequenceNode):
                return self._sequence(node, path)
            return {key: self._value(value, (*path, key)) for key, value in self._entries(node, path)}
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: Any) -> Any:
        tag, text = node.tag, node.value
        if tag in (_PLAIN, "!override") and not node.style:
            return plain_scalar(text)
        if tag == _CORE + "str" or not tag.startswith(_CORE):
            return text
        if tag == _CORE + "float":
            return float(plain_scalar(text))
        return plain_scalar(text) if tag in (_CORE + "int", _CORE + "bool", _CORE + "null") else text

    def _sequence(self, node: Any, path: Path) -> list[Any]:
        found: list[Any] = []
        for item in node.value:
            if item.tag == "!reset":
                continue
            here = (*path, len(found))
            self._document.positions.put(here, self._document.file, item.start_mark.line + 1)
            found.append(self._value(item, here))
        return found

    def _entries(self, node: Any, path: Path) -> Iterator[tuple[str, Any]]:
        """The keys of a mapping in order, merged ones (``<<``) last, each with its node."""
        own: dict[str, Any] = {}
        merged: list[Any] = []
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key == "<<" and not key_node.style:
                merged.extend(self._merged(value_node))
            elif key in own:
                raise self._error(key_node, f"mapping key {key!r} already defined")
            else:
                own[key] = (key_node, value_node)
        for mapping in merged:
            for key_node, value_node in self._flattened(mapping):
                own.setdefault(self._key(key_node), (key_node, value_node))
        for key, (key_node, value_node) in own.items():
            here = (*path, key)
            self._document.positions.put(here, self._document.file, key_node.start_mark.line + 1)
            if value_node.tag in ("!reset", "!override"):
                self._document.replaced.append(here)
            if value_node.tag != "!reset":
                yield key, value_node

    def _merged(self, node: Any) -> list[Any]:
        mappings = node.value if isinstance(node, self._yaml.SequenceNode) else [node]
        for mapping in mappings:
            if not isinstance(mapping, self._yaml.MappingNode):
                raise self._error(mapping, "map merge requires map or sequence of maps as the value")
        return mappings

    def _flattened(self, mapping: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
        """A merged mapping's entries, and those that it merges itself."""
        if depth > 100:
            raise self._error(mapping, "an anchor contains its own alias")
        later: list[Any] = []
        for key_node, value_node in mapping.value:
            if self._key(key_node) == "<<" and not key_node.style:
                later.extend(self._merged(value_node))
            else:
                yield key_node, value_node
        for other in later:
            yield from self._flattened(other, depth + 1)

    def _key(self, node: Any) -> str:
        if not isinstance(node, self._yaml.ScalarNode):
            raise self._error(node, "a key must be a text")
        if not node.style and node.tag == _PLAIN and node.value in ("", "~", "null"):
            raise self._error(node, "non-string key: null")
        return str(node.value)
