"""Dockerfile instructions as ``import --change`` and ``commit --change`` take them, applied to Docker's ``Config``.

CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR; the others need a
build, which applies these in the same way. Words follow the shell: quotes, backslashes, and variables of the
environment so far (``$X``, ``${X:-y}``).
"""

from __future__ import annotations

import copy
import json
import posixpath
import re
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

from engine.domain.errors import InvalidArgument
from engine.images.shell_words import raw_words, split_words, substitute

Settings = dict[str, Any]
_DEFAULT_SHELL = ["/bin/sh", "-c"]
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SHORTEST_NS = 1_000_000
_UNIT_NS = {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}


def apply_changes(settings: Mapping[str, Any], changes: Sequence[str]) -> Settings:
    """A copy of ``settings`` (keys of Docker's ``Config``) with each instruction applied. Raises InvalidArgument."""
    changed = copy.deepcopy(dict(settings))
    for line in changes:
        instruction, _, rest = line.strip().partition(" ")
        if instruction.upper() not in CHANGES:
            known = ", ".join(CHANGES)
            raise InvalidArgument(f"{instruction[:40]!r} is not a valid change command: use one of {known}")
        if not rest.strip():
            raise InvalidArgument(f"change {instruction.upper()} requires an argument")
        try:
            apply_instruction(changed, instruction.upper(), rest.strip())
        except ValueError as error:
            raise InvalidArgument(f"change {line.strip()[:200]!r}: {error}") from error
    return changed


def apply_instruction(
    settings: Settings, instruction: str, rest: str, arguments: Mapping[str, str] | None = None, escape: str = "\\"
) -> None:
    """Apply one of ``CHANGES`` in place. ``arguments`` are variables beside those of ``Env``, which win.

    Raises ValueError."""
    variables = {**(arguments or {}), **environment_of(settings)}
    CHANGES[instruction](settings, rest, Words(variables, escape))


@dataclass(frozen=True, slots=True)
class Words:
    """How an instruction's text becomes words."""

    variables: Mapping[str, str]
    escape: str

    def split(self, text: str) -> list[str]:
        return split_words(text, self.variables, self.escape)

    def whole(self, text: str) -> str:
        return substitute(text, self.variables, self.escape)


def environment_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """``Env`` by name."""
    pairs = (pair.partition("=") for pair in settings.get("Env") or [])
    return {name: value for name, _, value in pairs}


def exec_form(rest: str) -> list[str] | None:
    """The list of ``["a", "b"]``; None where it is not one, which then means the shell form."""
    if not rest.startswith("["):
        return None
    try:
        words = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    return words


def _command(settings: Settings, rest: str) -> list[str]:
    words = exec_form(rest)
    return words if words is not None else [*(settings.get("Shell") or _DEFAULT_SHELL), rest]


def _cmd(settings: Settings, rest: str, words: Words) -> None:
    settings["Cmd"] = _command(settings, rest)


def _entrypoint(settings: Settings, rest: str, words: Words) -> None:
    settings["Entrypoint"] = _command(settings, rest)


def name_values(rest: str, words: Words) -> list[tuple[str, str]]:
    """``a=b c="d e"``, or the old form ``a b with spaces``."""
    check_name_values(rest, words.escape)
    if "=" not in raw_words(rest, words.escape)[0]:
        first, value = rest.split(None, 1)
        return [(words.whole(first), words.whole(value))]
    pairs = [word.partition("=") for word in words.split(rest)]
    if any(not name or not equals for name, equals, _ in pairs):
        raise ValueError("every word must be NAME=VALUE")
    return [(name, value) for name, _, value in pairs]


def check_name_values(rest: str, escape: str) -> None:
    """What can be said before the variables in it are known. Raises ValueError."""
    words = raw_words(rest, escape) or [""]
    if "=" not in words[0]:
        if len(rest.split(None, 1)) < 2:
            raise ValueError("a name and a value are expected")
    elif any("=" not in word or word.startswith("=") for word in words):
        raise ValueError("every word must be NAME=VALUE")


def _env(settings: Settings, rest: str, words: Words) -> None:
    environment = environment_of(settings)
    environment |= dict(name_values(rest, words))
    settings["Env"] = [f"{name}={value}" for name, value in environment.items()]


def _label(settings: Settings, rest: str, words: Words) -> None:
    settings["Labels"] = {**(settings.get("Labels") or {}), **dict(name_values(rest, words))}


def _expose(settings: Settings, rest: str, words: Words) -> None:
    ports = dict(settings.get("ExposedPorts") or {})
    for word in " ".join(words.split(rest)).split():  # a variable may hold several
        match = _PORT.fullmatch(word.lower())
        if match is None:
            raise ValueError(f"{word!r} is no port: use NUMBER[-NUMBER][/tcp|udp|sctp]")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 < first <= last <= 65535:
            raise ValueError(f"{word!r} is no port between 1 and 65535")
        ports |= {f"{port}/{match[3] or 'tcp'}": {} for port in range(first, last + 1)}
    settings["ExposedPorts"] = ports


def _user(settings: Settings, rest: str, words: Words) -> None:
    settings["User"] = words.whole(rest)


def _workdir(settings: Settings, rest: str, words: Words) -> None:
    path = words.whole(rest)
    if not path:
        raise ValueError("a path is expected")
    joined = posixpath.normpath(posixpath.join("/", settings.get("WorkingDir") or "/", path))
    settings["WorkingDir"] = "/" + joined.lstrip("/")  # two leading slashes survive normpath


def _volume(settings: Settings, rest: str, words: Words) -> None:
    listed = exec_form(rest)
    paths = [words.whole(path) for path in (listed if listed is not None else rest.split())]
    if not paths or not all(path.strip() for path in paths):
        raise ValueError("a volume needs a path")
    settings["Volumes"] = {**(settings.get("Volumes") or {}), **{path: {} for path in paths}}


def _stopsignal(settings: Settings, rest: str, words: Words) -> None:
    settings["StopSignal"] = words.whole(rest)


def _onbuild(settings: Settings, rest: str, words: Words) -> None:
    trigger = rest.split(None, 1)[0].upper()
    if trigger in ("ONBUILD", "FROM", "MAINTAINER"):
        raise ValueError(f"{trigger} isn't allowed as an ONBUILD trigger")
    settings["OnBuild"] = [*(settings.get("OnBuild") or []), rest]


def _healthcheck(settings: Settings, rest: str, words: Words) -> None:
    options: dict[str, Any] = {}
    while rest.startswith("--"):
        option, _, rest = rest.partition(" ")
        name, _, value = option[2:].partition("=")
        rest = rest.lstrip()
        if name == "retries":
            if not (value.isascii() and value.isdigit()):
                raise ValueError(f"--retries {value!r} is no number")
            options["Retries"] = int(value)
        elif name in _HEALTH_DURATIONS:
            options[_HEALTH_DURATIONS[name]] = _health_duration_ns(name, value)
        else:
            raise ValueError(f"unknown option --{name}")
    kind, _, command = rest.partition(" ")
    if kind.upper() == "NONE" and not command:
        settings["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind.upper() != "CMD" or not command.strip():
        raise ValueError("NONE or CMD with a command is expected")
    settings["Healthcheck"] = {"Test": _health_test(command.strip()), **options}


def check_health(rest: str) -> None:
    """What a HEALTHCHECK says, which has no variables. Raises ValueError."""
    _healthcheck({}, rest, Words({}, ""))


def _health_test(command: str) -> list[str]:
    listed = exec_form(command)
    return ["CMD", *listed] if listed else ["CMD-SHELL", command]


_HEALTH_DURATIONS = {
    "interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod", "start-interval": "StartInterval"
}  # fmt: skip


def _health_duration_ns(name: str, text: str) -> int:
    """0 stands for what the engine takes by itself."""
    found = _duration_ns(text)
    if 0 < found < _SHORTEST_NS:
        raise ValueError(f"--{name} can't be less than 1ms")
    return found


def _duration_ns(text: str) -> int:
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is no duration: use 30s, 1m30s")
    return int(sum(float(number) * _UNIT_NS[unit] for number, unit in _DURATION_PART.findall(text)))


CHANGES: Mapping[str, Callable[[Settings, str, Words], None]] = {
    "CMD": _cmd, "ENTRYPOINT": _entrypoint, "ENV": _env, "EXPOSE": _expose, "HEALTHCHECK": _healthcheck,
    "LABEL": _label, "ONBUILD": _onbuild, "STOPSIGNAL": _stopsignal, "USER": _user, "VOLUME": _volume,
    "WORKDIR": _workdir,
}  # fmt: skip
