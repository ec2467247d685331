"""What each instruction of a Dockerfile asks for: its flags and words, checked as far as they can be before the build.

Variables are still in them; who runs an instruction puts the values in.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Callable

from engine.builder.dockerfile import Dockerfile, DockerfileError, HereDocument, Instruction, with_heredocs
from engine.builder.flags import LIST, SWITCH, TEXT, Flags, take_flags
from engine.builder.mounts import Mount, parse_mount
from engine.images.changes import CHANGES, check_health, check_name_values, exec_form
from engine.images.shell_words import raw_words

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_ARG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class From:
    source: Instruction
    image: str
    stage: str
    platform: str


@dataclass(frozen=True, slots=True)
class Arg:
    """``ARG name[=default] ...``: the words as they are written."""

    source: Instruction
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """``words``: exec form; else ``script`` is for the shell. ``network`` is default, none or host, ``security``
    sandbox, insecure or ""."""

    source: Instruction
    words: tuple[str, ...] | None
    script: str
    mounts: tuple[Mount, ...] = ()
    network: str = "default"
    security: str = ""


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY, and ADD, which also fetches and unpacks (``is_add``). ``from_stage`` is a stage, an image or ""."""

    source: Instruction
    sources: tuple[str, ...]
    target: str
    is_add: bool
    heredocs: tuple[HereDocument, ...] = ()
    from_stage: str = ""
    chown: str = ""
    chmod: str = ""
    checksum: str = ""
    exclude: tuple[str, ...] = ()
    is_link: bool = False
    keeps_parents: bool = False
    keeps_git: bool = False
    unpack: bool | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """An instruction that changes the configuration alone. ``rest`` is without the instruction's name."""

    source: Instruction
    rest: str


Command = From | Arg | Run | Copy | Setting


def commands_of(dockerfile: Dockerfile, file: str = "Dockerfile") -> list[Command]:
    """Raises DockerfileError."""
    return [command_of(instruction, dockerfile.escape, file) for instruction in dockerfile.instructions]


def command_of(instruction: Instruction, escape: str = "\\", file: str = "Dockerfile") -> Command:
    """Raises DockerfileError."""
    try:
        return _read(instruction, escape)
    except ValueError as error:
        raise DockerfileError(instruction.line, str(error), file) from error


def _read(instruction: Instruction, escape: str) -> Command:
    read = _READERS.get(instruction.name)
    if read is None:
        raise ValueError(f"unknown instruction: {instruction.name[:40]}")
    if not instruction.rest.strip():
        raise ValueError(f"{instruction.name} requires at least one argument")
    return read(instruction, escape)


def _from(instruction: Instruction, escape: str) -> From:
    flags, rest = take_flags(instruction.rest, {"platform": TEXT}, escape)
    words = rest.split()
    if len(words) == 3 and words[1].upper() == "AS":
        stage = words[2].lower()
        if not _STAGE_NAME.fullmatch(stage):
            raise ValueError(f"invalid name for build stage: {words[2]!r}, name can't start with a number or contain "
                             "symbols")  # fmt: skip
        return From(instruction, words[0], stage, _one(flags, "platform"))
    if len(words) != 1:
        raise ValueError("FROM requires either one or three arguments")
    return From(instruction, words[0], "", _one(flags, "platform"))


def _arg(instruction: Instruction, escape: str) -> Arg:
    words = tuple(raw_words(instruction.rest, escape))
    for word in words:
        name = word.partition("=")[0]
        if not _ARG_NAME.fullmatch(name):
            raise ValueError(f"ARG names can not be {name!r}: letters, digits and _ are expected")
    return Arg(instruction, words)


_RUN_FLAGS = {"mount": LIST, "network": TEXT, "security": TEXT, "device": LIST}


def _run(instruction: Instruction, escape: str) -> Run:
    flags, rest = take_flags(instruction.rest, _RUN_FLAGS, escape)
    network = _one(flags, "network") or "default"
    if network not in ("default", "none", "host"):
        raise ValueError(f"unsupported network mode {network!r}: use default, none or host")
    security = _one(flags, "security")
    if security not in ("", "sandbox", "insecure"):
        raise ValueError(f"security {security!r} is not valid: use sandbox or insecure")
    if "device" in flags:
        raise ValueError("RUN --device is not supported")
    mounts = tuple(parse_mount(text) for text in flags.get("mount", ()))
    if not rest:
        raise ValueError("RUN requires at least one argument")
    words = _listed(rest)
    if words == []:
        raise ValueError("RUN requires at least one argument")
    return Run(instruction, None if words is None else tuple(words), rest, mounts, network, security)


_COPY_FLAGS = {
    "from": TEXT, "chown": TEXT, "chmod": TEXT, "link": SWITCH, "parents": SWITCH, "exclude": LIST
}  # fmt: skip
_ADD_FLAGS = {
    "chown": TEXT, "chmod": TEXT, "link": SWITCH, "exclude": LIST, "checksum": TEXT, "keep-git-dir": SWITCH,
    "unpack": SWITCH,
}  # fmt: skip


def _copy(instruction: Instruction, escape: str) -> Copy:
    is_add = instruction.name == "ADD"
    flags, rest = take_flags(instruction.rest, _ADD_FLAGS if is_add else _COPY_FLAGS, escape)
    words = _listed(rest)
    names = words if words is not None else raw_words(rest, escape)
    if len(names) < 2:
        raise ValueError(f"{instruction.name} requires at least two arguments, but only {len(names)} was provided. "
                         "Destination could not be determined")  # fmt: skip
    sources = tuple(name for name in names[:-1] if not (instruction.heredocs and name.lstrip("0123456789")[:2] == "<<"))
    if len(names) > 2 and not names[-1].endswith("/") and names[-1] not in (".", "..") and instruction.heredocs:
        raise ValueError(f"when using {instruction.name} with more than one source file, the destination must be a "
                         "directory and end with a /")  # fmt: skip
    unpack = _one(flags, "unpack")
    return Copy(
        instruction, sources, names[-1], is_add, instruction.heredocs, _one(flags, "from"), _one(flags, "chown"),
        _one(flags, "chmod"), _one(flags, "checksum"), tuple(flags.get("exclude", ())), _is_on(flags, "link"),
        _is_on(flags, "parents"), _is_on(flags, "keep-git-dir"), None if not unpack else unpack == "true",
    )  # fmt: skip


def _setting(instruction: Instruction, escape: str) -> Setting:
    if instruction.name == "HEALTHCHECK":
        check_health(instruction.rest)
        return Setting(instruction, instruction.rest)
    _, rest = take_flags(instruction.rest, {}, escape)
    if instruction.name in ("CMD", "ENTRYPOINT", "VOLUME"):
        _listed(rest)
    elif instruction.name in ("ENV", "LABEL"):
        check_name_values(rest, escape)
    return Setting(instruction, rest)


def _shell(instruction: Instruction, escape: str) -> Setting:
    setting = _setting(instruction, escape)
    if not _listed(setting.rest):
        raise ValueError('SHELL requires the arguments to be in JSON form: ["/bin/sh", "-c"]')
    return setting


def _onbuild(instruction: Instruction, escape: str) -> Setting:
    name, *rest = instruction.rest.split(None, 1)
    if name.upper() in ("ONBUILD", "FROM", "MAINTAINER"):
        raise ValueError(f"{name.upper()} isn't allowed as an ONBUILD trigger")
    trigger = Instruction(name.upper(), "".join(rest), instruction.line, instruction.last_line, instruction.heredocs)
    _read(trigger, escape)
    return Setting(instruction, with_heredocs(instruction.rest, instruction.heredocs))


def _listed(rest: str) -> list[str] | None:
    """The exec form; None where it is the shell form. Raises ValueError for a list of something else than text."""
    words = exec_form(rest)
    if words is None and rest.startswith("["):
        try:
            found = json.loads(rest)
        except (ValueError, RecursionError):
            return None
        if isinstance(found, list):
            raise ValueError("only string type is allowed in JSON arrays")
    return words


def _one(flags: Flags, name: str) -> str:
    return flags[name][0] if name in flags else ""


def _is_on(flags: Flags, name: str) -> bool:
    return _one(flags, name) == "true"


_READERS: dict[str, Callable[[Instruction, str], Command]] = {
    **{name: _setting for name in CHANGES},
    "ADD": _copy, "ARG": _arg, "COPY": _copy, "FROM": _from, "MAINTAINER": _setting, "ONBUILD": _onbuild, "RUN": _run,
    "SHELL": _shell,
}  # fmt: skip
