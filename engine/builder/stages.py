"""The stages of a Dockerfile as a graph: which one needs which, and which are needed at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Sequence

from engine.builder.dockerfile import DockerfileError
from engine.builder.instructions import Arg, Command, Copy, From, Run
from engine.images.config import host_platform
from engine.images.shell_words import substitute

PREDEFINED = frozenset(
    spelled
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for spelled in (name, name.lower())
)  # fmt: skip
"""Arguments that need no ARG: RUN sees them, but nothing depends on them."""


@dataclass(slots=True)
class Stage:
    """``base`` is an image's reference, ``scratch``, or another stage (``base_stage``). ``first_step`` counts from 1.
    """

    index: int
    begins: From
    base: str
    platform: str
    commands: list[Command]
    base_stage: Stage | None = None
    needs: list[Stage] = field(default_factory=list)
    first_step: int = 0

    @property
    def name(self) -> str:
        return self.begins.stage or str(self.index)


def platform_arguments() -> dict[str, str]:
    """The arguments that every build has, for FROM and, where ARG names them, inside of stages."""
    system, architecture = host_platform()
    platform = f"{system}/{architecture}"
    found = {}
    for side in ("BUILD", "TARGET"):
        found |= {
            f"{side}PLATFORM": platform, f"{side}OS": system, f"{side}ARCH": architecture, f"{side}VARIANT": "",
        }  # fmt: skip
    return found


def global_arguments(commands: Sequence[Command], given: Mapping[str, str], escape: str, file: str) -> dict[str, str]:
    """What ARGs before the first FROM define. Raises DockerfileError."""
    defined: dict[str, str] = {}
    scope = platform_arguments()
    for command in commands:
        if isinstance(command, From):
            break
        if not isinstance(command, Arg):
            raise DockerfileError(command.source.line, "no build stage in current context: begin with FROM", file)
        for word in command.words:
            name, has_default, default = word.partition("=")
            try:
                value = given.get(name, substitute(default, {**scope, **defined}, escape) if has_default else None)
            except ValueError as error:
                raise DockerfileError(command.source.line, str(error), file) from error
            if value is not None:
                defined[name] = value
    return defined


def stages_of(commands: Sequence[Command], arguments: Mapping[str, str], escape: str, file: str) -> list[Stage]:
    """All stages in order, each with what it needs. Raises DockerfileError."""
    stages: list[Stage] = []
    scope = {**platform_arguments(), **arguments}
    for command in commands:
        if isinstance(command, From):
            stages.append(_begun(command, len(stages), stages, scope, escape, file))
        elif stages:
            stages[-1].commands.append(command)
            stages[-1].needs += _needed_by(command, stages)
    if not stages:
        raise DockerfileError(commands[-1].source.line, "no build stage in current context: begin with FROM", file)
    return stages


def _begun(
    begins: From, index: int, stages: Sequence[Stage], scope: Mapping[str, str], escape: str, file: str
) -> Stage:
    try:
        base, platform = substitute(begins.image, scope, escape), substitute(begins.platform, scope, escape)
    except ValueError as error:
        raise DockerfileError(begins.source.line, str(error), file) from error
    if not base:
        raise DockerfileError(begins.source.line, f"base name ({begins.image}) should not be blank", file)
    stage = Stage(index, begins, base, platform, [])
    stage.base_stage = next((known for known in reversed(stages) if known.begins.stage == base.lower() != ""), None)
    if stage.base_stage:
        stage.needs.append(stage.base_stage)
    return stage


def find_stage(name: str, stages: Sequence[Stage]) -> Stage | None:
    """The stage that ``--from`` means: by name (the last one of it) or by number."""
    named = next((stage for stage in reversed(stages) if stage.begins.stage == name.lower() != ""), None)
    if named is None and name.isascii() and name.isdigit() and int(name) < len(stages):
        return stages[int(name)]
    return named


def _needed_by(command: Command, stages: Sequence[Stage]) -> list[Stage]:
    """The stage that is being read can't need itself."""
    names = []
    if isinstance(command, Copy) and command.from_stage:
        names.append(command.from_stage)
    elif isinstance(command, Run):
        names += [mount.text("from") for mount in command.mounts if mount.text("from")]
    return [stage for name in names if (stage := find_stage(name, stages[:-1])) is not None]


def needed(target: str, stages: list[Stage], file: str) -> list[Stage]:
    """The target (the last stage where "") and all that it needs, in order, their steps counted.

    Raises DockerfileError."""
    last = stages[-1] if not target else find_stage(target, stages)
    if last is None:
        message = f"failed to reach build target {target} in Dockerfile"
        raise DockerfileError(stages[-1].begins.source.line, message, file)
    wanted: dict[int, Stage] = {}
    waiting = [last]
    while waiting:
        stage = waiting.pop()
        if stage.index not in wanted:
            wanted[stage.index] = stage
            waiting += stage.needs
    chosen = [wanted[index] for index in sorted(wanted)]
    count = 1
    for stage in chosen:
        stage.first_step = count
        count += 1 + len(stage.commands)
    return [stage for stage in chosen if stage is not last] + [last]
