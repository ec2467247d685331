"""The ``filters`` parameter: JSON of names to values, each endpoint with its own set of names.

Values of one name are alternatives, names are conditions that must all hold; labels must all hold too.
"""

from __future__ import annotations

import re
from typing import Collection, Mapping

from engine.api.documents import parse_json
from engine.api.exchange import Request
from engine.domain.errors import InvalidArgument
from engine.services.as_of import parse_time_us

PATTERN_CHARS = 256


class Filters:
    """Parsed and checked filters."""

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def as_dict(self) -> dict[str, list[str]]:
        return dict(self._values)

    def boolean(self, name: str) -> bool | None:
        """The value of a filter that is true or false; None where it is absent. Raises InvalidArgument."""
        values = self.get(name)
        if not values:
            return None
        answers = {_BOOLEANS.get(value.lower()) for value in values}
        if None in answers:
            wrong = next(value for value in values if value.lower() not in _BOOLEANS)
            raise InvalidArgument(f"invalid filter '{name}={wrong}': it is true or false")
        if len(answers) > 1:
            raise InvalidArgument(f"invalid filter '{name}': it cannot be both true and false")
        return answers.pop()

    def allows(self, name: str, *candidates: str) -> bool:
        """Whether one of the candidates equals one of the values, or nothing is asked."""
        return name not in self._values or any(value in candidates for value in self._values[name])

    def allows_labels(self, labels: Mapping[str, str]) -> bool:
        return all(_has_label(labels, wanted) for wanted in self.get("label")) and not any(
            _has_label(labels, unwanted) for unwanted in self.get("label!")
        )

    def allows_name(self, *names: str) -> bool:
        """Whether one of the names matches one of the patterns of the filter ``name``."""
        return "name" not in self._values or any(
            compile_pattern(value).search(name) for value in self._values["name"] for name in names
        )


_BOOLEANS = {"1": True, "true": True, "t": True, "0": False, "false": False, "f": False}


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def read_filters(request: Request, allowed: Collection[str]) -> Filters:
    """Parse a request's filters. Raises InvalidArgument for bad JSON and for names that are not ``allowed``."""
    text = request.text("filters")
    if not text:
        return Filters({})
    parsed = parse_json(text)
    if not isinstance(parsed, dict):
        raise InvalidArgument("invalid filter: an object of lists is expected")
    values: dict[str, list[str]] = {}
    for name, given in parsed.items():
        if name not in allowed:
            raise InvalidArgument(f"invalid filter '{name}'")
        if isinstance(given, dict):  # what clients before 1.22 send: {"value": true}
            given = [value for value, wanted in given.items() if wanted]
        if not isinstance(given, list) or not all(isinstance(value, str) for value in given):
            raise InvalidArgument(f"invalid filter '{name}': a list of strings is expected")
        if given:
            values[name] = given
    return Filters(values)


def read_prune_filters(request: Request, allowed: Collection[str]) -> dict[str, list[str]]:
    """Filters for services: as they came, but for ``until``, which becomes ``until_us``, one decimal number."""
    values = read_filters(request, allowed).as_dict()
    if "until" in values:
        until = values.pop("until")
        if len(until) != 1:
            raise InvalidArgument("more than one until filter specified")
        values["until_us"] = [str(parse_time_us(until[0], request.now_us))]
    return values


_ENDLESS = re.compile(r"\)[*+{]|\(\?[^:]")
_pattern_cache: dict[str, re.Pattern[str]] = {}


def compile_pattern(text: str) -> re.Pattern[str]:
    """A regular expression of a client. Raises InvalidArgument.

    Docker's matcher is linear; Python's backtracks, and holds the interpreter's lock while it does. So what can
    backtrack without end is refused: repeated groups, more than two repetitions, more than four optional parts.
    """
    if text in _pattern_cache:
        return _pattern_cache[text]
    plain = re.sub(r"\\[^1-9]|\[[^\]]*\]", "x", text)
    repeats = len(re.findall(r"[*+{]", plain))
    if len(text) > PATTERN_CHARS or repeats > 2 or plain.count("?") > 4 or _ENDLESS.search(plain) or "\\" in plain:
        raise InvalidArgument("the pattern of filter 'name' is too complex")
    try:
        pattern = re.compile(text.replace("[[", "[\\["))  # Python keeps a bare [[ for sets to come, and warns
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidArgument(f"invalid filter 'name={text}': {error}") from error
    if len(_pattern_cache) > 100:
        _pattern_cache.clear()
    _pattern_cache[text] = pattern
    return pattern


def compile_glob(text: str) -> re.Pattern[str]:
    """Go's path.Match: ``*`` and ``?`` stop at a slash. Each star is atomic, so that matching is linear."""
    if len(text) > PATTERN_CHARS:
        raise InvalidArgument("the pattern of filter 'reference' is too long")
    parts = [""]
    for token in _GLOB_TOKEN.findall(text):
        if token.startswith("*"):
            parts.append("")
        else:
            parts[-1] += _glob_token(token)
    middle = "".join(f"(?>[^/]*?{part})" for part in parts[1:-1])
    last = f"[^/]*{parts[-1]}" if len(parts) > 1 else ""
    try:
        return re.compile(parts[0] + middle + last)
    except re.error as error:
        raise InvalidArgument(f"invalid filter 'reference={text}': {error}") from error


_GLOB_TOKEN = re.compile(r"\\.|\[\^?[^\]]+\]|\*+|.", re.DOTALL)


def _glob_token(token: str) -> str:
    if token == "?":
        return "[^/]"
    if len(token) > 2:
        return token.replace("\\", "\\\\")
    return re.escape(token[-1])
