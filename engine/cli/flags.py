"""Flags by the rules of Docker's command line (spf13/pflag), and the help text made of their declarations.

``--name value``, ``--name=value``, ``-n value``, ``-nvalue``, ``-n=value``, clusters of switches (``-it``), switches
with a value (``--rm=false``), ``--`` as the end of the flags. No abbreviations.
"""

from __future__ import annotations

from engine.cli.output import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

USAGE_STATUS = 125
_OLD_NAMES = {"net": "network", "net-alias": "network-alias", "dns-opt": "dns-option"}
"""Docker's first names of flags, which no help shows."""
HELP_COLUMNS = 80


class Flag:
    """One flag. ``parse`` turns its text into a value or raises ValueError; a ``repeated`` one collects a list."""

    __slots__ = ("attribute", "default", "group", "help", "kind", "name", "parse", "refusal", "repeated", "short")

    def __init__(
        self, names: str, kind: str, help: str, default: Any, parse: Callable[[str], Any], *, repeated: bool = False
    ) -> None:
        *short, name = names.split(", ")
        self.name = name.removeprefix("--")
        self.group = ""
        self.refusal = ""
        self.attribute = self.name.replace("-", "_")
        self.short = short[0].removeprefix("-") if short else ""
        self.kind = kind
        self.help = help
        self.default = default
        self.parse = parse
        self.repeated = repeated

    @property
    def title(self) -> str:
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def switch(names: str, help: str, default: bool = False) -> Flag:
    """True where it is given; ``--name=false`` takes it back."""
    return Flag(names, "", help, default, _boolean)


def refused(why: str, *names: str, kind: str = "string") -> tuple[Flag, ...]:
    """Flags of Docker's that a command has not, for whom they mean something else elsewhere. No help shows them."""
    flags = tuple(Flag(name, kind, "", None, str) for name in names)
    for flag in flags:
        flag.refusal = why
    return flags


def content_trust() -> Flag:
    """Docker's flag of a thing that there is not: true, the default, asks for nothing; false is refused."""
    words = "Skip image verification: signatures are never asked for"
    return Flag("--disable-content-trust", "", words, True, _no_trust)


def _no_trust(value: str) -> bool:
    if not _boolean(value):
        raise ValueError("content trust is not supported")
    return True


def text(names: str, help: str, default: str = "", kind: str = "string", parse: Callable[[str], Any] = str) -> Flag:
    """The last value given; ``parse`` checks or converts it."""
    return Flag(names, kind, help, default, parse)


def listed(names: str, help: str, kind: str = "list", parse: Callable[[str], Any] = str) -> Flag:
    """Every value given, in order."""
    return Flag(names, kind, help, (), parse, repeated=True)


def filter_by(name: str, help: str, kind: str = "filter") -> Flag:
    """``--filter NAME=VALUE`` where just one name has a meaning: the values."""

    def value(given: str) -> str:
        key, found, value = given.partition("=")
        if not found or key != name:
            raise ValueError(f"use {name}={name.upper()}")
        return value

    return listed("--filter", help, kind, value)


def integer(names: str, help: str, default: int | None = 0) -> Flag:
    """A whole number; None where ``default`` is and nothing was given."""
    return Flag(names, "int", help, default, parse_int)


def parse_int(value: str) -> int:
    """Go's strconv.ParseInt with its words."""
    digits = value[1:] if value[:1] in ("+", "-") else value
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError(f'strconv.ParseInt: parsing "{value}": invalid syntax')
    if abs(int(value)) >= 2**63:
        raise ValueError(f'strconv.ParseInt: parsing "{value}": value out of range')
    return int(value)


def _boolean(value: str) -> bool:
    if value in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{value}": invalid syntax')


def grouped(title: str, *flags: Flag) -> tuple[Flag, ...]:
    """Flags that help shows together under a title of their own."""
    for flag in flags:
        flag.group = title
    return flags


class Options:
    """The values of a command's flags as attributes (``options.no_trunc``), and which were ``given``, by name."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self.given: set[str] = set()
        for flag in flags:
            setattr(self, flag.attribute, [] if flag.repeated else flag.default)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class HelpWanted(Exception):
    """``--help`` was among the flags."""


def parse(flags: Sequence[Flag], words: Sequence[str], *, interspersed: bool) -> tuple[Options, list[str]]:
    """The options and the arguments in ``words``. With ``interspersed`` false the first argument ends the flags.

    Raises CommandError and HelpWanted."""
    by_name = {flag.name: flag for flag in flags}
    by_short = {flag.short: flag for flag in flags if flag.short}
    options, arguments = Options(flags), []
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            if not interspersed:
                break
        elif word.startswith("--"):
            _long_flag(word, rest, by_name, options)
        else:
            _short_flags(word, rest, by_short, options)
    return options, arguments + rest[::-1]


def _long_flag(word: str, rest: list[str], by_name: dict[str, Flag], options: Options) -> None:
    name, has_value, value = word[2:].partition("=")
    flag = by_name.get(name) or by_name.get(_OLD_NAMES.get(name, ""))
    if flag is None:
        if name == "help":
            raise HelpWanted
        from engine.cli.suggestions import UNSUPPORTED_FLAGS, hint

        if name in UNSUPPORTED_FLAGS:
            raise CommandError(f"--{name} is not supported: {UNSUPPORTED_FLAGS[name]}", USAGE_STATUS)
        raise CommandError(f"unknown flag: --{name}{hint(name, by_name, '--')}", USAGE_STATUS)
    _check_offered(flag)
    if not has_value:
        if flag.kind == "":
            value = "true"
        elif rest:
            value = rest.pop()
        else:
            raise CommandError(f"flag needs an argument: --{name}", USAGE_STATUS)
    _store(flag, value, options)


def _short_flags(word: str, rest: list[str], by_short: dict[str, Flag], options: Options) -> None:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = by_short.get(letter)
        if flag is None:
            if letter == "h":
                raise HelpWanted
            raise CommandError(f"unknown shorthand flag: '{letter}' in {word}", USAGE_STATUS)
        _check_offered(flag)
        if letters.startswith("="):
            value, letters = letters[1:], ""
        elif flag.kind == "":
            value = "true"
        elif letters:
            value, letters = letters, ""
        elif rest:
            value = rest.pop()
        else:
            raise CommandError(f"flag needs an argument: '{letter}' in {word}", USAGE_STATUS)
        _store(flag, value, options)


def _check_offered(flag: Flag) -> None:
    if flag.refusal:
        raise CommandError(f"--{flag.name} is not supported: {flag.refusal}", USAGE_STATUS)


def _store(flag: Flag, text_given: str, options: Options) -> None:
    try:
        value = flag.parse(text_given)
    except ValueError as error:
        raise CommandError(
            f'invalid argument "{text_given}" for "{flag.title}" flag: {error}', USAGE_STATUS
        ) from error
    options.given.add(flag.name)
    if flag.repeated:
        getattr(options, flag.attribute).append(value)
    else:
        setattr(options, flag.attribute, value)


def describe(flags: Sequence[Flag], columns: int = HELP_COLUMNS) -> str:
    """The lines of a help text's "Options:", in Docker's layout, sorted by name; groups of flags one by one."""
    flags = [flag for flag in flags if not flag.refusal]
    titles = list(dict.fromkeys(flag.group for flag in flags))
    if len(titles) > 1:
        parts = [(title, [flag for flag in flags if flag.group == title]) for title in titles]
        return "\n\n".join(f"{title or 'Others'}:\n{_described(part, columns)}" for title, part in parts)
    return _described(flags, columns)


def _described(flags: Sequence[Flag], columns: int) -> str:
    heads = {}
    for flag in sorted(flags, key=lambda flag: flag.name):
        start = f"  -{flag.short}, " if flag.short else "      "
        heads[f"{start}--{flag.name}{' ' + flag.kind if flag.kind else ''}"] = flag
    width = max(map(len, heads), default=0) + 3
    lines = []
    for head, flag in heads.items():
        shown = flag.help
        if flag.default not in ("", False, None, 0, ()):
            is_text = isinstance(flag.default, str)
            shown += f' (default "{flag.default}")' if is_text else f" (default {str(flag.default).lower()})"
        first, *others = _wrapped(shown, max(columns - width, 24))
        lines.append(head.ljust(width) + first)
        lines.extend(" " * width + line for line in others)
    return "\n".join(lines)


def _wrapped(words: str, width: int) -> list[str]:
    lines = [""]
    for word in words.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines
