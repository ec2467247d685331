"""``docket completion``: what the shell offers when TAB is pressed. The shell's function is a few lines; they ask
``docket __complete``, which knows the commands and flags, and asks the engine for names where it answers at once."""

from __future__ import annotations

from engine.cli import commands
from engine.cli.command import Command
from engine.cli.flags import Flag, Options
from engine.cli.output import CommandError, out
from engine.cli.session import Session
from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

_BASH = """\
_docket() {
    local IFS=$'\\n'
    COMPREPLY=($(docket __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [ ${#COMPREPLY[@]} -eq 0 ] && compopt -o default 2>/dev/null
}
complete -F _docket docket
"""
_ZSH = """\
#compdef docket
_docket() {
    local -a offered
    offered=("${(@f)$(docket __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [ -n "$offered" ]; then compadd -Q -- "${offered[@]}"; else _files; fi
}
compdef _docket docket
"""
_FISH = """\
complete -c docket -f -a '(docket __complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_OBJECTS = {"CONTAINER": "containers", "IMAGE": "images", "SOURCE_IMAGE": "images", "VOLUME": "volumes",
            "NETWORK": "networks"}  # fmt: skip


def print_script(session: Session, options: Options, arguments: list[str]) -> int:
    if arguments[0] not in _SCRIPTS:
        raise CommandError(f"no completion for {arguments[0]!r}: use {', '.join(_SCRIPTS)}")
    out(_SCRIPTS[arguments[0]])
    return 0


def complete(session: Session, words: list[str]) -> int:
    """Print one offer a line for the last of the words, which may be empty."""
    *before, last = words or [""]
    offers = sorted(offer for offer in _offers(session, before, last) if offer.startswith(last))
    out("".join(f"{offer}\n" for offer in offers))
    return 0


def _offers(session: Session, before: list[str], last: str) -> list[str]:
    from engine.cli.main import GLOBAL_FLAGS

    before, awaited = behind_flags(before, GLOBAL_FLAGS)
    if awaited is not None:
        return _values(session, awaited)
    if not before:
        known = [*commands.COMMANDS, *commands.GROUPS, "help"]
        return [f"--{flag.name}" for flag in GLOBAL_FLAGS if not flag.refusal] if last.startswith("-") else known
    if before[0] == "help":
        before = before[1:]
        if not before:
            from engine.cli.guide import TOPICS

            return [*commands.COMMANDS, *commands.GROUPS, *TOPICS]
    found = commands.find(before)
    if found is None:
        is_group = len(before) == 1 and before[0] in commands.GROUPS
        return list(commands.GROUPS[before[0]][1]) if is_group else []
    path, place = found
    command = commands.load(place)
    if path == "compose":
        from engine.cli.compose.completion import offers_of_verb

        return offers_of_verb(session, command, before[1:], last)
    return _of_command(session, command, before[len(path.split()) :], last)


def behind_flags(words: list[str], flags: Sequence[Flag]) -> tuple[list[str], Flag | None]:
    """The words behind these flags and their values, or the flag whose value is still to come."""
    by_name = {name: flag for flag in flags for name in (f"--{flag.name}", f"-{flag.short}")}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        flag = by_name.get(rest.pop(0))
        if flag is not None and flag.kind:
            if not rest:
                return [], flag
            rest.pop(0)
    return rest, None


def _of_command(session: Session, command: Command, before: list[str], last: str) -> list[str]:
    by_name = {name: flag for flag in command.flags for name in (f"--{flag.name}", f"-{flag.short}")}
    if last.startswith("-"):
        return [f"--{flag.name}" for flag in command.flags if not flag.refusal]
    if before and (flag := by_name.get(before[-1])) is not None and flag.kind:
        return _values(session, flag)
    words = [word.strip("[].") for word in command.usage.replace("|", " ").split() if word != "[OPTIONS]"]
    position = len(_arguments(before, by_name))
    wanted = words[min(position, len(words) - 1)] if words else ""
    if wanted == "CONTEXT":
        return _contexts()
    kind = _OBJECTS.get(wanted.split(":")[0])
    return _names(session, kind) if kind else []


def _arguments(before: list[str], by_name: dict[str, Flag]) -> list[str]:
    """The words that are no flags and no flags' values."""
    found, value = [], False
    for word in before:
        if value:
            value = False
        elif word.startswith("-"):
            flag = by_name.get(word)
            value = flag is not None and bool(flag.kind)
        else:
            found.append(word)
    return found


def _values(session: Session, flag: Flag) -> list[str]:
    match flag.name:
        case "context" | "from":
            return _contexts()
        case "network":
            return _names(session, "networks")
        case "volumes-from":
            return _names(session, "containers")
        case "restart":
            return ["no", "always", "unless-stopped", "on-failure"]
        case "pull":
            return ["always", "missing", "never"]
        case "log-driver":
            return ["json-file", "local", "none"]
    return []


def _contexts() -> list[str]:
    from engine.client.contexts import DEFAULT, ContextStore

    try:
        return [DEFAULT, *(context.name for context in ContextStore().all())]
    except ClientError:
        return []


def _names(session: Session, kind: str) -> list[str]:
    """The names that the engine knows; an engine that does not run is not started for them."""
    from engine.client.api import Client

    try:
        with Client(session.address) as client:
            match kind:
                case "containers":
                    found = client.call("GET", "/containers/json", query={"all": "true"})
                    return [name.removeprefix("/") for item in found for name in item["Names"]]
                case "images":
                    found = client.call("GET", "/images/json")
                    return [tag for item in found for tag in item["RepoTags"] or ()]
                case "volumes":
                    return [item["Name"] for item in client.call("GET", "/volumes")["Volumes"] or ()]
                case _:
                    return [item["Name"] for item in client.call("GET", "/networks")]
    except (ClientError, OSError):
        return []


COMPLETION = Command(
    print_script,
    "bash|zsh|fish",
    least=1,
    most=1,
    examples=(
        "docket completion bash > /etc/bash_completion.d/docket\n"
        "docket completion zsh > \"${fpath[1]}/_docket\"\n"
        "docket completion fish > ~/.config/fish/completions/docket.fish"
    ),
)
