"""The use case: a context and a Dockerfile become an image.

    build.started -> context received -> each needed stage in a thread, its steps in order -> image.created, tagged
    -> build.finished

What a client reads comes from one queue; the build goes on only as long as somebody reads it.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Iterator, Sequence

from engine.builder import dockerfile as language
from engine.builder import keys
from engine.builder.dockerfile import Dockerfile, DockerfileError
from engine.builder.files import Files
from engine.builder.ground import Ground
from engine.builder.ignored import remove_ignored
from engine.builder.instructions import commands_of
from engine.builder.layering import Layering
from engine.builder.orders import Line, Order, Site
from engine.builder.shells import Shells
from engine.builder.runs import Runner
from engine.builder.stages import Stage, find_stage, global_arguments, needed, stages_of
from engine.builder.step_cache import StepCache
from engine.builder.steps import StageRun
from engine.domain.build import BuildContextReceived, BuildFailed, BuildFinished, BuildStarted, StartBuild, TellBuild
from engine.domain.cache import CacheRecorded
from engine.domain.errors import EngineError, InvalidArgument, NotFound, describe
from engine.domain.image import ImageCreated, TagImage
from engine.eventlog.log import Context, Document
from engine.images.content import CHUNK_BYTES, ContentStore, Readable
from engine.images.references import Reference
from engine.kernel.paths import open_in_root
from engine.services.blobs import Blobs
from engine.services.core import Core
from engine.services.image_names import resolve_image
from engine.services.images import Images
from engine.services.layers import Layers, wanted_layers
from engine.services.pulls import Pulls
from engine.services.views import is_small_tree, parse_document

_REASON_CHARACTERS = 4000


class Builds:
    """Any number at once."""

    def __init__(
        self, core: Core, content: ContentStore, layers: Layers, images: Images, blobs: Blobs, pulls: Pulls,
        runner: Runner, limits: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        self._core = core
        self._content = content
        self._layers = layers
        self._images = images
        self._blobs = blobs
        self._pulls = pulls
        self._runner = runner
        self._limits = limits
        self._cache = StepCache(core, layers, blobs)
        self._layering = Layering(core, layers, self._cache)
        self._shells = Shells(core, runner, content.root, core.run_dir)

    @property
    def folder(self) -> Path:
        return self._core.store.root / "builds"

    # --- one build ---

    def build(
        self, stream: Readable, order: Order, departed: threading.Event, context: Context
    ) -> Iterator[Line]:
        """Docker's lines, and lines of our own under ``docket``. Raises what is wrong before the first step."""
        build_id = self._core.randomness.hex(64)
        started = BuildStarted(
            build_id, list(order.references), order.dockerfile, order.source, order.target, self._core.clock.now_us()
        )  # fmt: skip
        self._core.recorder.decide("build", build_id, StartBuild(started), context)
        lines: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        folder = self.folder / build_id
        site = Site(build_id, order, folder, context, lines.put)
        outcome: list[BaseException] = []
        try:
            folder.mkdir(mode=0o700, parents=True)
            self._receive(stream, site)
            plan = self._plan(site)
        except BaseException as error:
            self._finish(site, BuildFailed(build_id, _reason(error), self._core.clock.now_us()))
            raise

        def work() -> None:
            try:
                self._carry_out(site, plan, departed)
            except BaseException as error:
                outcome.append(error)
            finally:
                lines.put(None)

        worker = threading.Thread(target=work, name=f"build {build_id[:12]}")
        worker.start()
        try:
            while (line := self._next(lines, departed, site)) is not None:
                yield line
        finally:
            site.stop.set()
            worker.join()
        if outcome:
            yield _error_line(outcome[0])

    @staticmethod
    def _next(lines: queue.SimpleQueue[Line | None], departed: threading.Event, site: Site) -> Line | None:
        while True:
            try:
                return lines.get(timeout=0.25)
            except queue.Empty:
                if departed.is_set():
                    site.stop.set()

    def _carry_out(self, site: Site, plan: Plan, departed: threading.Event) -> None:
        ended: BuildFinished | BuildFailed
        try:
            with self._blobs.arriving():
                ground = self._run_stages(site, plan, departed)
                image_id = self._make_image(site, ground)
            ended = BuildFinished(site.build_id, image_id, self._core.clock.now_us())
        except BaseException as error:
            self._finish(site, BuildFailed(site.build_id, _reason(error), self._core.clock.now_us()))
            raise
        self._finish(site, ended)
        site.tell({"aux": {"ID": image_id}})
        site.tell({"stream": f"Successfully built {image_id[7:19]}\n"})
        for reference in site.order.references:
            site.tell({"stream": f"Successfully tagged {Reference.parse(reference).familiar}\n"})

    def _finish(self, site: Site, ended: BuildFinished | BuildFailed) -> None:
        """The folder goes before the outcome is on record."""
        self._shells.forget_secrets(site.build_id)
        try:
            if site.folder.exists() and is_small_tree(site.folder):
                shutil.rmtree(site.folder)
            else:
                self._core.runtime.run_job("tree.remove", {"path": str(site.folder)})
        finally:
            self._core.recorder.record("build", site.build_id, ended, site.context)
        if any(site.superseded) and not self._running():
            for chain_ids in site.superseded:
                self._cache.release(chain_ids, site.context)

    # --- context and plan ---

    def _receive(self, stream: Readable, site: Site) -> None:
        """A worker unpacks what comes by a pipe: the context touches the disk once."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        job = {"target": str(site.sources), "limits": self._limits}
        with ThreadPoolExecutor(1, "context") as pool:
            receiving = pool.submit(self._core.runtime.run_job, "build.receive", job, [reader])
            receiving.add_done_callback(lambda _: os.close(reader))
            with open(writer, "wb", buffering=0) as pipe:
                _pour(stream, pipe)
            received = receiving.result()
        text = self._read_dockerfile(site)
        stored = Document("dockerfile", text)
        event = BuildContextReceived(
            site.build_id, received["digest"], received["size_bytes"], received["entries"], stored.digest
        )
        self._core.recorder.decide("build", site.build_id, TellBuild((event,)), site.context, [stored])

    def _read_dockerfile(self, site: Site) -> bytes:
        name = site.order.dockerfile
        try:
            return _read(site.sources, name)
        except OSError as error:
            raise InvalidArgument(f"Cannot locate specified Dockerfile: {name}") from error

    def _plan(self, site: Site) -> Plan:
        order = site.order
        parsed = language.parse(self._read_dockerfile(site), order.dockerfile)
        remove_ignored(site.sources, order.dockerfile)
        commands = commands_of(parsed, order.dockerfile)
        arguments = global_arguments(commands, order.arguments, parsed.escape, order.dockerfile)
        every = stages_of(commands, arguments, parsed.escape, order.dockerfile)
        chosen = needed(order.target, every, order.dockerfile)
        site.escape = parsed.escape
        site.steps = sum(1 + len(stage.commands) for stage in chosen)
        epoch = order.arguments.get("SOURCE_DATE_EPOCH", arguments.get("SOURCE_DATE_EPOCH", ""))
        if epoch:
            if not epoch.isdigit():
                raise InvalidArgument(f"invalid SOURCE_DATE_EPOCH {epoch!r}: seconds since 1970 are expected")
            site.epoch_s = int(epoch)
        return Plan(parsed, every, chosen, arguments)

    # --- stages ---

    def _run_stages(self, site: Site, plan: Plan, departed: threading.Event) -> Ground:
        """Each stage in a thread of its own, which waits for those that it needs."""
        for warning in plan.dockerfile.warnings:
            site.tell({"stream": f"[Warning] {warning}\n"})
        done: dict[int, Future[Ground]] = {}

        def run(stage: Stage) -> Ground:
            try:
                return self._run_stage(stage, site, plan, done, departed)
            except BaseException:
                site.stop.set()
                raise

        with ThreadPoolExecutor(len(plan.chosen), "stage") as pool:
            for stage in sorted(plan.chosen, key=lambda stage: stage.index):
                done[stage.index] = pool.submit(run, stage)
        errors = [error for future in done.values() if (error := future.exception()) is not None]
        if errors:
            own = [error for error in errors if isinstance(error, DockerfileError) and "was stopped" not in str(error)]
            raise (own or errors)[0]
        return done[plan.chosen[-1].index].result()

    def _run_stage(
        self, stage: Stage, site: Site, plan: Plan, done: dict[int, Future[Ground]], departed: threading.Event
    ) -> Ground:
        def ground_of(name: str) -> Ground:
            found = find_stage(name, plan.stages[: stage.index])
            return done[found.index].result() if found is not None else self._image_ground(name, "", site, departed)

        if stage.base_stage is not None:
            ground = done[stage.base_stage.index].result().stand_on()
        elif stage.base == "scratch":
            ground = Ground.scratch()
        else:
            ground = None
        site.check()
        site.tell({"stream": f"Step {stage.first_step}/{site.steps} : {stage.begins.source.original}\n"})
        try:
            if ground is None:
                ground = self._image_ground(stage.base, stage.platform or site.order.platform, site, departed)
        except (EngineError, OSError) as error:
            raise DockerfileError(stage.begins.source.line, describe(error), site.order.dockerfile) from error
        ground.set_default_path()
        files = Files(self._core, self._content.root, self._limits, ground_of)
        return StageRun(
            self._core, site, stage, ground, plan.arguments, self._layering, files, self._shells
        ).run()  # fmt: skip

    def _image_ground(self, name: str, platform: str, site: Site, departed: threading.Event) -> Ground:
        """An image here, or pulled. Raises NotFound and what a pull raises."""
        image = None
        if not site.order.pull:
            try:
                image = resolve_image(self._core.log, name)
            except NotFound:
                image = None
        if image is None:
            reference = Reference.parse(name)
            pulling = self._pulls.pull(
                reference, platform=platform or None, credentials=site.order.credentials(reference.domain),
                departed=departed, context=site.context,
            )  # fmt: skip
            for notice in pulling:
                if not notice.id:
                    site.tell({"status": notice.status})
            image = resolve_image(self._core.log, name)
        config = parse_document(self._core.log.document(image.id))
        states = [self._core.log.get("layer", chain_id) for chain_id in image.chain_ids]
        blobs = [state.blob_digest for state in states if state is not None]
        return Ground.of_image(config, image.id, image.chain_ids, blobs)

    # --- the image ---

    def _make_image(self, site: Site, ground: Ground) -> str:
        """The configuration's time is that of the first time that this very image was built: built again, it is the
        same image."""
        order, log = site.order, self._core.log
        if order.labels:
            ground.settings["Labels"] = {**(ground.settings.get("Labels") or {}), **order.labels}
        timeless = keys.document_of({"instruction": "image", "config": ground.document(0).decode()})
        key = keys.key_of(timeless)
        known = None if order.no_cache else log.get("cache", key)
        epoch_us = None if site.epoch_s is None else site.epoch_s * 1_000_000
        created_us = epoch_us if epoch_us is not None else known.created_at_us if known else self._core.clock.now_us()
        document = ground.document(created_us, epoch_us)
        stored = Document("image-config", document)
        size_bytes, labels = self._images.size_and_labels(document, ground.chain_ids)
        created = ImageCreated(
            stored.digest, ground.chain_ids, size_bytes, self._core.clock.now_us(), "build", f"build {site.build_id}",
            labels=labels,
        )  # fmt: skip
        if not self._content.has(stored.digest):
            self._content.add(document)
        wanted = wanted_layers(ground.chain_ids, ground.diff_ids, ground.blobs, f"build {site.build_id[:12]}")
        self._images.create(created, document, wanted, site.context)
        if known is None:
            recorded = CacheRecorded(
                key, ground.chain_ids, True, "image", f"{order.dockerfile}#image", keys.key_of(timeless),
                site.build_id, created_us,
            )  # fmt: skip
            self._cache.record(recorded, timeless, site.context)
        for reference in order.references:
            self._images.name(stored.digest, TagImage(reference), site.context)
        return stored.digest

    # --- the cache, and what a crash leaves ---

    def prune(self, context: Context, until_us: int | None = None) -> tuple[list[str], int]:
        """Forget cached steps, and remove what only they kept. Answers with their keys and the bytes freed."""
        forgotten, freed = self._cache.prune(context, until_us)
        caches = self._core.store.root / "build-cache"
        if until_us is None and caches.is_dir() and not self._running():
            self._core.runtime.run_job("tree.remove", {"path": str(caches)})
        return forgotten, freed

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
                self._core.runtime.run_job("tree.remove", {"path": str(folder)})


class Plan:
    """A Dockerfile taken apart: all stages, and those that are to be run, the target last."""

    def __init__(
        self, dockerfile: Dockerfile, stages: list[Stage], chosen: Sequence[Stage], arguments: dict[str, str]
    ) -> None:
        self.dockerfile = dockerfile
        self.stages = stages
        self.chosen = chosen
        self.arguments = arguments


def _pour(stream: Readable, pipe: Any) -> None:
    try:
        while chunk := stream.read(CHUNK_BYTES):
            view = memoryview(chunk)
            while view:
                view = view[pipe.write(view) :]
    except BrokenPipeError:
        return  # the worker says why


def _read(folder: Path, name: str) -> bytes:
    """A small file of the context, no link of which leads out. Raises OSError, InvalidArgument."""
    root_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(open_in_root(root_fd, name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            return file.read(language.TEXT_LIMIT_BYTES + 1)
    finally:
        os.close(root_fd)


def _reason(error: BaseException) -> str:
    text = describe(error) if isinstance(error, (EngineError, OSError)) else f"{type(error).__name__}: {error}"
    return text[:_REASON_CHARACTERS]


def _error_line(error: BaseException) -> Line:
    message = _reason(error)
    detail: dict[str, Any] = {"message": message}
    if code := getattr(error, "exit_code", 0):
        detail["code"] = code
    return {"errorDetail": detail, "error": message}
