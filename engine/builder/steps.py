"""The instructions of one stage, carried out one after the other."""

from __future__ import annotations

import posixpath
import time
from typing import Any, Callable, Mapping

from engine.builder import keys
from engine.builder.dockerfile import DockerfileError, Instruction, trigger_of
from engine.builder.entitlements import check_entitled
from engine.builder.files import Files
from engine.builder.ground import Ground
from engine.builder.instructions import Arg, Command, Copy, Run, Setting, command_of
from engine.builder.keys import Inputs
from engine.builder.layering import Layering, Made
from engine.builder.orders import Site
from engine.builder.shells import Shells
from engine.builder.stages import PREDEFINED, Stage, platform_arguments
from engine.domain.build import BuildStepDone, TellBuild
from engine.domain.errors import EngineError, describe
from engine.images.changes import CHANGES, apply_instruction, exec_form
from engine.images.shell_words import substitute
from engine.services.container_config import parse_signal
from engine.services.core import Core


class StageRun:
    """One stage under way."""

    def __init__(
        self, core: Core, site: Site, stage: Stage, ground: Ground, global_arguments: Mapping[str, str],
        layering: Layering, files: Files, shells: Shells,
    ) -> None:  # fmt: skip
        self._core = core
        self._site = site
        self._stage = stage
        self._globals = global_arguments
        self._layering = layering
        self._files = files
        self._shells = shells
        self.ground = ground
        self._step = stage.first_step
        self._done: list[BuildStepDone] = []
        self._act: Mapping[type, Callable[[Any], Made]] = {
            Arg: self._arg, Run: self._run, Copy: self._copy, Setting: self._setting
        }  # fmt: skip

    def run(self) -> Ground:
        """Raises DockerfileError with the line of the instruction that failed."""
        try:
            self._begin()
            for command in self._stage.commands:
                self._step += 1
                self._site.enter(self._step)
                self._begun(command.source)
                self._say(command.source.original, numbered=True)
                self.carry_out(command)
        finally:
            self._put_on_record()
        return self.ground

    def _put_on_record(self) -> None:
        """Steps that had no effect wait for one that has, or for the end: a commit costs more than they do."""
        done, self._done = tuple(self._done), []
        if done:
            self._core.recorder.decide("build", self._site.build_id, TellBuild(done), self._site.context)

    def _begin(self) -> None:
        begins = self._stage.begins.source
        base = f"{self._stage.base} is {self.ground.image_id}" if self.ground.image_id else "from scratch"
        if self._stage.base_stage is not None:
            base = f"the stage {self._stage.base_stage.name}, which stands on {self.ground.image_id or 'scratch'}"
        self._record(begins, Made("set", base), time.monotonic())
        self._tell_id(Made("set"))
        for trigger in self.ground.settings.pop("OnBuild", None) or []:
            self._say(f"ONBUILD {trigger}", numbered=False)
            instruction = trigger_of(trigger, self._site.escape, begins, self._site.order.dockerfile)
            self.carry_out(command_of(instruction, self._site.escape, self._site.order.dockerfile))

    def carry_out(self, command: Command) -> None:
        self._site.check()
        began = time.monotonic()
        try:
            made = self._act[type(command)](command)
        except DockerfileError:
            raise
        except (EngineError, OSError, ValueError) as error:
            message = str(error) if isinstance(error, ValueError) else describe(error)
            failed = DockerfileError(command.source.line, message, self._site.order.dockerfile)
            failed.exit_code = getattr(error, "exit_code", 0)
            raise failed from error
        self._enter_history(command, made)
        self._record(command.source, made, began)
        self._tell_id(made)

    # --- what is said and recorded ---

    def _say(self, text: str, *, numbered: bool) -> None:
        prefix = f"Step {self._step}/{self._site.steps} : " if numbered else "# Executing trigger: "
        self._site.tell({"stream": f"{prefix}{text}\n"})

    def _begun(self, source: Instruction) -> None:
        """For clients that draw the steps."""
        begun = {"begun": self._step, "of": self._site.steps, "stage": self._stage.name, "instruction": source.original}
        self._site.tell({"docket": begun})

    def _tell_id(self, made: Made) -> None:
        """Docker's " ---> id": here that of the configuration so far, since no image is made for every step."""
        if made.outcome == "reused":
            self._site.tell({"stream": " ---> Using cache\n"})
        short = keys.key_of(self.ground.so_far())[7:19]
        self._site.tell({"stream": f" ---> {short}\n"})

    def _enter_history(self, command: Command, made: Made) -> None:
        entry: dict[str, Any] = {"created_by": made.created_by or command.source.original, "created_us": None}
        if made.is_layer:
            entry["created_us"] = made.created_us
        else:
            entry["empty_layer"] = True
        if self.ground.author:
            entry["author"] = self.ground.author
        self.ground.history.append(entry)

    def _record(self, source: Instruction, made: Made, began: float) -> None:
        done = BuildStepDone(
            self._site.build_id, self._stage.name, source.line, source.original, made.outcome, made.reason, made.key,
            self.ground.top, int((time.monotonic() - began) * 1e6),
        )  # fmt: skip
        self._done.append(done)
        if made.outcome == "made":
            self._put_on_record()
        self._site.tell(
            {"docket": {
                "step": self._step, "stage": self._stage.name, "line": source.line, "outcome": made.outcome,
                "reason": made.reason, "duration_us": done.duration_us,
            }}
        )  # fmt: skip

    # --- instructions ---

    def _whole(self, text: str) -> str:
        return substitute(text, self.ground.variables(), self._site.escape)

    def _arg(self, command: Arg) -> Made:
        known = {**platform_arguments(), **self._globals}
        for word in command.words:
            name, has_default, default = word.partition("=")
            self._site.consumed.add(name)
            if name in self._site.order.arguments:
                self.ground.arguments[name] = self._site.order.arguments[name]
            elif has_default:
                self.ground.arguments[name] = self._whole(default)
            elif name in known:
                self.ground.arguments[name] = known[name]
        return Made("set")

    def _setting(self, command: Setting) -> Made:
        name, settings = command.source.name, self.ground.settings
        if name == "SHELL":
            settings["Shell"] = exec_form(command.rest)
        elif name == "MAINTAINER":
            self.ground.author = self._whole(command.rest)
        else:
            assert name in CHANGES
            apply_instruction(settings, name, command.rest, self.ground.arguments, self._site.escape)
        if name == "STOPSIGNAL":
            parse_signal(settings["StopSignal"])
        if name == "CMD":
            self.ground.has_own_cmd = True
        elif name == "ENTRYPOINT" and not self.ground.has_own_cmd:
            settings.pop("Cmd", None)  # what the base image's command was made for is another program
        return self._workdir(command) if name == "WORKDIR" else Made("set")

    def _workdir(self, command: Setting) -> Made:
        path = self.ground.settings["WorkingDir"]
        inputs: Inputs = {"instruction": command.source.original, "kind": "workdir", "path": path}
        return self._cached(inputs, lambda: self._files.make_folder(self.ground, path, self._site))

    def _copy(self, command: Copy) -> Made:
        destination = _destination(self.ground.workdir, self._whole(command.target))

        def cached(inputs: Inputs, make: Callable[[], dict[str, Any]]) -> Made:
            return self._cached(inputs, make, linked=command.is_link)

        return self._files.copy(command, destination, self.ground, self._site, self._whole, cached)

    def _run(self, command: Run) -> Made:
        check_entitled(command, self._site.order)  # the plan doesn't know what a base image's triggers ask for
        argv = self._shells.words_of(command, self.ground)
        arguments = {name: value for name, value in self.ground.arguments.items() if name not in PREDEFINED}
        inputs = self._shells.inputs(command, argv, self.ground, arguments, self._site, self._files)
        made = self._cached(
            inputs, lambda: self._shells.run(command, argv, self.ground, arguments, self._site, self._files)
        )
        made.created_by = "RUN " + "".join(f"{name}={value} " for name, value in sorted(arguments.items())) + (
            " ".join(argv)
        )  # fmt: skip
        return made

    def _cached(self, inputs: Inputs, make: Callable[[], dict[str, Any]], *, linked: bool = False) -> Made:
        place = f"{self._site.order.dockerfile}#{self._stage.name}"
        return self._layering.step(inputs, make, self.ground, self._site, place, linked=linked)


def _destination(workdir: str, target: str) -> str:
    """Absolute, and by its text alone: what ``..`` takes back needs not be there. A slash at the end says folder."""
    joined = posixpath.join("/", workdir, target)
    clean = "/" + posixpath.normpath(joined).lstrip("/")
    return clean if clean == "/" or not joined.endswith(("/", "/.", "/..")) else f"{clean}/"
