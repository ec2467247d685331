"""The use case: a context and a Dockerfile become an image.

    build.started -> context received -> each needed stage in a thread, its steps in order -> image.created, tagged
    -> build.finished

What a client reads comes from one queue; the build goes on only as long as somebody reads it.
"""

from __future__ import annotations

import queue
import sys
import threading
from pathlib import Path
from typing import Any, Iterator

from engine.builder.agents import Agents
from engine.builder.bases import Bases
from engine.builder.contexts import Contexts
from engine.builder.files import Files
from engine.builder.ground import Ground
from engine.builder.ignored import remove_ignored
from engine.builder.imports import import_steps
from engine.builder.layering import Layering
from engine.builder.making import Making
from engine.builder.orders import Line, Order, Site
from engine.builder.planning import Plan, not_consumed, plan_of
from engine.builder.runs import Runner
from engine.builder.scheduling import Stages
from engine.builder.shells import Shells
from engine.builder.stages import Stage
from engine.builder.step_cache import StepCache
from engine.builder.steps import StageRun
from engine.builder.usage import CacheUsage, Choice, Usage
from engine.domain.build import BuildFailed, BuildFinished, BuildStarted, StartBuild
from engine.domain.errors import Conflict, EngineError, describe
from engine.domain.prune import RecordPrune
from engine.eventlog.log import Context
from engine.images.content import ContentStore, Readable
from engine.images.references import Reference
from engine.services.blobs import Blobs
from engine.services.core import Core
from engine.services.images import Images
from engine.services.layers import Layers
from engine.services.pulls import Pulls
from engine.services.trash import Trash

_REASON_CHARACTERS = 4000


class _Outgoing:
    """An archive on its way to the client: whoever reads the build's lines sends it, and says when it is done."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.done = threading.Event()
        self.error: BaseException | None = None

    def send(self) -> Iterator[bytes]:
        try:
            yield from self.pieces
        except (EngineError, OSError) as error:
            self.error = error
        except BaseException:
            self.error = Conflict("the client left before it had its archive")
            raise
        finally:
            self.done.set()


class Builds:
    """Any number at once."""

    def __init__(
        self, core: Core, content: ContentStore, layers: Layers, images: Images, blobs: Blobs, pulls: Pulls,
        runner: Runner, trash: Trash, limits: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        self._core = core
        self._trash = trash
        self._content = content
        self._blobs = blobs
        self._runner = runner
        self._limits = limits
        self._cache = StepCache(core, layers, blobs)
        self._layering = Layering(core, layers, self._cache)
        self._mounts = core.store.root / "build-cache"
        self._usage = CacheUsage(core, layers, self._mounts)
        self.agents = Agents()
        self._shells = Shells(core, runner, content.root, core.run_dir, self.agents)
        self._bases = Bases(core, pulls)
        self._contexts = Contexts(core, limits)
        self._making = Making(core, content, images, self._cache, blobs)
        self._sites: dict[str, Site] = {}

    @property
    def folder(self) -> Path:
        return self._core.store.root / "builds"

    # --- one build ---

    def build(
        self, stream: Readable, order: Order, departed: threading.Event, context: Context
    ) -> Iterator[Line | bytes]:
        """Docker's lines, lines of our own under ``docket``, and pieces of the archive where the client wants one.
        Raises what is wrong before the first step."""
        build_id = self._core.randomness.hex(64)
        started = BuildStarted(
            build_id, list(order.references), order.dockerfile, order.source, order.target, self._core.clock.now_us(),
            sorted(order.entitlements),
        )  # fmt: skip
        self._core.recorder.decide("build", build_id, StartBuild(started), context)
        lines: queue.SimpleQueue[Line | _Outgoing | None] = queue.SimpleQueue()
        site = Site(build_id, order, self.folder / build_id, context, lines.put, departed=departed)
        self._sites[build_id] = site
        outcome: list[BaseException] = []
        try:
            site.folder.mkdir(mode=0o700, parents=True)
            plan = self._plan(self._contexts.receive(stream, site), site)
        except BaseException as error:
            self._finish(site, BuildFailed(build_id, _reason(error), self._core.clock.now_us()))
            raise

        def work() -> None:
            try:
                self._carry_out(site, plan, lines)
            except BaseException as error:
                outcome.append(error)
            finally:
                lines.put(None)

        worker = threading.Thread(target=work, name=f"build {build_id[:12]}")
        try:
            worker.start()
        except RuntimeError as error:  # the machine has no thread left
            self._finish(site, BuildFailed(build_id, _reason(error), self._core.clock.now_us()))
            raise
        try:
            while (line := self._next(lines, site)) is not None:
                if isinstance(line, _Outgoing):
                    yield from line.send()
                else:
                    yield line
        finally:
            site.stop.set()
            worker.join()
        if outcome:
            yield _error_line(outcome[0])

    @staticmethod
    def _next(lines: queue.SimpleQueue[Line | _Outgoing | None], site: Site) -> Line | _Outgoing | None:
        while True:
            try:
                return lines.get(timeout=0.25)
            except queue.Empty:
                if site.departed.is_set():
                    site.stop.set()

    def _plan(self, dockerfile: bytes, site: Site) -> Plan:
        plan = plan_of(dockerfile, site.order)
        remove_ignored(site.sources, site.order.dockerfile)
        site.escape, site.steps, site.epoch_s = plan.dockerfile.escape, plan.steps, plan.epoch_s
        site.consumed |= plan.known
        return plan

    def _carry_out(self, site: Site, plan: Plan, lines: queue.SimpleQueue[Line | _Outgoing | None]) -> None:
        ended: BuildFinished | BuildFailed
        image_id = ""
        try:
            with self._blobs.arriving():
                import_steps(self._core, self._bases, site)
                ground = self._stages(site, plan).run()
                if unused := not_consumed(site.order, site.consumed):
                    site.tell({"stream": unused})
                if site.order.references or not site.order.output:
                    image_id = self._making.image(site, ground)
                if site.order.output:
                    self._send(site, ground, lines)
            ended = BuildFinished(site.build_id, image_id, self._core.clock.now_us())
        except BaseException as error:
            self._finish(site, BuildFailed(site.build_id, _reason(error), self._core.clock.now_us()))
            raise
        self._finish(site, ended)
        if not image_id:
            return
        site.tell({"aux": {"ID": image_id}})
        site.tell({"stream": f"Successfully built {image_id[7:19]}\n"})
        for reference in site.order.references:
            site.tell({"stream": f"Successfully tagged {Reference.parse(reference).familiar}\n"})

    def _send(self, site: Site, ground: Ground, lines: queue.SimpleQueue[Line | _Outgoing | None]) -> None:
        """The build lasts until the client has its archive. Raises what kept it from it, Conflict where it left."""
        outgoing = _Outgoing(self._making.archive(site, ground))
        lines.put(outgoing)
        while not outgoing.done.wait(0.25):
            site.check()
        if outgoing.error is not None:
            raise outgoing.error

    def _stages(self, site: Site, plan: Plan) -> Stages:
        def carry(stage: Stage, ground: Ground, files: Files) -> StageRun:
            return StageRun(self._core, site, stage, ground, plan.arguments, self._layering, files, self._shells)

        for warning in plan.dockerfile.warnings:
            site.tell({"stream": f"[Warning] {warning}\n"})
        return Stages(
            site, plan, self._bases, lambda named: Files(self._core, self._content.root, self._limits, named), carry
        )

    def _finish(self, site: Site, ended: BuildFinished | BuildFailed) -> None:
        """The folder goes before the outcome is on record."""
        self._sites.pop(site.build_id, None)
        try:
            self.agents.forget(site.order.agents)
            self._shells.forget_secrets(site.build_id)
            if site.folder.exists():
                self._trash.throw(site.folder)  # nobody waits until file after file is deleted
        finally:
            self._core.recorder.record("build", site.build_id, ended, site.context)
        if any(site.superseded) and not self._running():
            for chain_ids in site.superseded:
                self._cache.release(chain_ids, site.context)

    # --- the cache, and what a crash leaves ---

    def _in_use(self) -> set[str]:
        """The chain IDs that running builds stand on."""
        return {chain_id for site in list(self._sites.values()) for chain_id in list(site.standing)}

    def usage(self) -> list[Usage]:
        return self._usage.list(self._in_use())

    def prune(self, choice: Choice, context: Context) -> tuple[list[str], int]:
        """Forget cached steps and remove what only they kept, and the folders of cache mounts. Answers with their keys
        and the bytes freed."""
        gone, freed = self._cache.forget(self._usage.chosen(choice, self._in_use()), context)
        mounts = [] if not choice.takes_mounts or self._running() else self._usage.mounts()
        mounted = sum(one.size_bytes for one in mounts)
        if mounts and (choice.keep_bytes is None or mounted > choice.keep_bytes) and self._throw_mounts():
            gone, freed = [*gone, *(one.id for one in mounts)], freed + mounted
        self._core.recorder.decide("prune", "builder", RecordPrune("builder", len(gone), freed), context)
        return gone, freed

    def _throw_mounts(self) -> bool:
        """At one stroke: a build that begins just now makes its folders anew. False where another prune was quicker."""
        try:
            self._trash.throw(self._mounts)
        except FileNotFoundError:
            return False
        return True

    def _running(self) -> bool:
        return any(build.status == "running" for build in self._core.log.all("build"))

    def recover(self, context: Context, reason: str) -> None:
        """At start: builds that were under way have failed; nothing of them stays but what is cached."""
        for build in self._core.log.all("build"):
            if build.status != "running":
                continue
            for container in self._core.log.all("container"):
                if container.build_id == build.id:
                    self._runner.remove(container.id, context)
            site = Site(build.id, Order(), self.folder / build.id, context, lambda line: None)
            self._finish(site, BuildFailed(build.id, reason, self._core.clock.now_us()))
        if self.folder.is_dir():
            for folder in self.folder.iterdir():
                try:
                    self._trash.throw(folder)
                except (OSError, EngineError) as error:  # what resists must not keep the engine from starting
                    print(f"docket: {folder} stays: {describe(error)}", file=sys.stderr, flush=True)


def _reason(error: BaseException) -> str:
    text = describe(error) if isinstance(error, (EngineError, OSError)) else f"{type(error).__name__}: {error}"
    return text[:_REASON_CHARACTERS]


def _error_line(error: BaseException) -> Line:
    message = _reason(error)
    detail: dict[str, Any] = {"message": message}
    if code := getattr(error, "exit_code", 0):
        detail["code"] = code
    return {"errorDetail": detail, "error": message}
