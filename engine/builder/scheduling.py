"""The stages of one build under way: each in a thread of its own, which waits for those that it needs."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable

from engine.builder.bases import Bases
from engine.builder.dockerfile import DockerfileError
from engine.builder.files import Files
from engine.builder.ground import Ground
from engine.builder.orders import Site
from engine.builder.planning import Plan
from engine.builder.stages import Stage, find_stage
from engine.builder.steps import StageRun
from engine.domain.errors import EngineError, describe

Carry = Callable[[Stage, Ground, Files], StageRun]
MakeFiles = Callable[[Callable[[str], Ground]], Files]


class Stages:
    """``files`` makes what a stage copies with, ``carry`` what carries its instructions out."""

    def __init__(self, site: Site, plan: Plan, bases: Bases, files: MakeFiles, carry: Carry) -> None:
        self._site = site
        self._plan = plan
        self._bases = bases
        self._files = files
        self._carry = carry
        self._begun: dict[int, Future[Ground]] = {}
        self._guard = threading.Lock()

    def run(self) -> Ground:
        """What the target has come to. Raises the error of the stage that failed first."""
        with ThreadPoolExecutor(len(self._plan.stages), "stage") as self._pool:
            for stage in sorted(self._plan.chosen, key=lambda stage: stage.index):
                self._begin(stage)
            while waiting := [future for future in list(self._begun.values()) if not future.done()]:
                waiting[0].exception()  # it may begin others
        errors = [error for future in self._begun.values() if (error := future.exception()) is not None]
        if errors:
            own = [error for error in errors if isinstance(error, DockerfileError) and "was stopped" not in str(error)]
            raise (own or errors)[0]
        return self._begun[self._plan.chosen[-1].index].result()

    def _begin(self, stage: Stage) -> Future[Ground]:
        """A stage that only the trigger of a base image names is begun when that is read."""
        with self._guard:
            if stage.index not in self._begun:
                if not stage.first_step:
                    stage.first_step = self._site.steps + 1
                    self._site.steps += 1 + len(stage.commands)
                self._begun[stage.index] = self._pool.submit(self._run, stage)
            return self._begun[stage.index]

    def _run(self, stage: Stage) -> Ground:
        try:
            ground = self._base_of(stage)
            ground.set_default_path()
            return self._carry(stage, ground, self._files(lambda name: self._named(name, stage))).run()
        except BaseException:
            self._site.stop.set()
            raise

    def _base_of(self, stage: Stage) -> Ground:
        begins, site = stage.begins.source, self._site
        ground = None
        if stage.base_stage is not None:
            ground = self._begin(stage.base_stage).result().stand_on()
        elif stage.base == "scratch":
            ground = Ground.scratch()
        site.check()
        site.enter(stage.first_step)
        begun = {"begun": stage.first_step, "of": site.steps, "stage": stage.name, "instruction": begins.original}
        site.tell({"docket": begun})
        site.tell({"stream": f"Step {stage.first_step}/{site.steps} : {begins.original}\n"})
        if ground is not None:
            return ground
        try:
            return self._bases.ground(stage.base, stage.platform or site.order.platform, site)
        except (EngineError, OSError) as error:
            raise DockerfileError(begins.line, describe(error), site.order.dockerfile) from error

    def _named(self, name: str, stage: Stage) -> Ground:
        """What ``--from`` means in a stage: an earlier one, or an image."""
        found = find_stage(name, [one for one in self._plan.stages if one.index < stage.index])
        return self._begin(found).result() if found is not None else self._bases.ground(name, "", self._site)
