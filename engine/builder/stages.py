"""The stages of a Dockerfile as a graph: which one needs which, and which are needed at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Sequence

from engine.builder.dockerfile import DockerfileError, Instruction
from engine.builder.instructions import Arg, Command, Copy, From, Run
from engine.images.config import host_platform
from engine.images.shell_words import substitute

OF_CONTEXT = "context:"
"""Before the name of a context, where it is what ``COPY`` copies from: no stage or image is called so."""
PREDEFINED = frozenset(
    spelled
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for spelled in (name, name.lower())
)  # fmt: skip
"""Arguments that need no ARG: RUN sees them, but nothing depends on them."""


@dataclass(slots=True)
class Stage:
    """``base`` is an image's reference, ``scratch``, or another stage (``base_stage``). ``first_step`` counts from 1.
    Those that stand for named contexts have an ``index`` below 0, and come before those of the Dockerfile."""

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


def named_stages(images: Mapping[str, str]) -> list[Stage]:
    """A stage for each named context: the image, or, where there is none, an empty one with the context's files."""
    stages = []
    for index, (name, image) in enumerate(images.items(), -len(images)):
        base = image or "scratch"
        begins = From(Instruction("FROM", f"{base} AS {name}", 1, 1), base, name.lower(), "")
        copied = Copy(
            Instruction("COPY", ". /", 1, 1), (".",), "/", is_add=False, from_stage=OF_CONTEXT + name, chown="0:0"
        )  # fmt: skip
        stages.append(Stage(index, begins, base, "", [] if image else [copied]))
    return stages


def stages_of(
    commands: Sequence[Command], arguments: Mapping[str, str], escape: str, file: str, named: Sequence[Stage] = ()
) -> list[Stage]:
    """All stages in order, ``named`` ones first, each with what it needs. Raises DockerfileError."""
    stages = list(named)
    scope = {**platform_arguments(), **arguments}
    for command in commands:
        if isinstance(command, From):
            stages.append(_begun(command, len(stages) - len(named), stages, scope, escape, file))
        elif len(stages) > len(named):
            stages[-1].commands.append(command)
            stages[-1].needs += _needed_by(command, stages, file)
    if len(stages) == len(named):
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
    stage.base_stage = _called(base, stages)
    if stage.base_stage:
        stage.needs.append(stage.base_stage)
    return stage


def _called(name: str, stages: Sequence[Stage]) -> Stage | None:
    """A named context of that name, else the last stage of it."""
    found = [stage for stage in stages if stage.begins.stage == name.lower() != ""]
    return found[0] if found and found[0].index < 0 else found[-1] if found else None


def find_stage(name: str, stages: Sequence[Stage]) -> Stage | None:
    """The stage that ``--from`` means: by name or by number."""
    found = _called(name, stages)
    if found is None and name.isascii() and name.isdigit():
        return next((stage for stage in stages if stage.index == int(name)), None)
    return found


def _needed_by(command: Command, stages: Sequence[Stage], file: str) -> list[Stage]:
    """Stages come before what needs them. Raises DockerfileError."""
    names = []
    if isinstance(command, Copy) and command.from_stage:
        names.append(command.from_stage)
    elif isinstance(command, Run):
        names += [mount.text("from") for mount in command.mounts if mount.text("from")]
    found = []
    for name in names:
        if (stage := find_stage(name, stages[:-1])) is not None:
            found.append(stage)
        elif find_stage(name, stages) is not None:
            message = f"invalid from flag value {name}: refers to current build stage"
            raise DockerfileError(command.source.line, message, file)
        elif name.isascii() and name.isdigit():  # else it is an image
            message = f"invalid from flag value {name}: no stage before has that number"
            raise DockerfileError(command.source.line, message, file)
    return found


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
