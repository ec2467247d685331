"""``docket system fsck``: the store against the log, layer by layer, and what can be done about the difference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.domain.errors import EngineError, describe
from engine.domain.image import Image
from engine.domain.layer import Layer, LayerDamaged, Status
from engine.eventlog.log import Context
from engine.images.content import ContentStore
from engine.images.references import Reference
from engine.services.blobs import Blobs
from engine.services.core import Core
from engine.services.image_names import digests_of, tags_of
from engine.services.layers import Layers, Wanted


@dataclass(slots=True)
class Problem:
    """``object`` is what is not as the log says, ``what`` is wrong with it, ``images`` need it. ``repaired`` says what
    was done about it ("": nothing), ``pull`` what to pull again where only a registry has it."""

    object: str
    what: str
    images: list[str] = field(default_factory=list)
    repaired: str = ""
    pull: list[str] = field(default_factory=list)


@dataclass(slots=True)
class FsckReport:
    layers: int = 0
    blobs: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return not any(not problem.repaired for problem in self.problems)


class Fsck:
    """Reads every blob and every file of every layer: minutes on a large store. Containers go on meanwhile."""

    def __init__(
        self, core: Core, content: ContentStore, layers: Layers, blobs: Blobs, limits: dict[str, int] | None = None
    ) -> None:
        self._core = core
        self._content = content
        self._layers = layers
        self._blobs = blobs
        self._limits = limits

    def run(self, *, repair: bool, context: Context) -> FsckReport:
        """Compare; with ``repair``, unpack damaged layers again from blobs that are whole, and remove what nothing on
        record knows. What neither can mend is named with the images that are to be pulled again."""
        report = FsckReport()
        with self._blobs.arriving():  # nothing is removed under our eyes
            damaged = self._check_blobs(report, repair)
            for layer in self._core.log.all("layer"):
                if layer.status in (Status.STORED, Status.FAILED):
                    self._check_layer(layer, damaged, report, repair, context)
        self._check_strangers(report, repair)
        return report

    def _check_blobs(self, report: FsckReport, repair: bool) -> set[str]:
        """Digests of blobs that are not whole, or not there. A damaged one is worth less than none: it goes."""
        wanted = self._blobs.wanted()
        report.blobs = len(wanted)
        job = {"blobs": {digest: str(self._content.path(digest)) for digest in sorted(wanted)}}
        damaged = set(self._core.runtime.run_job("blobs.check", job)["damaged"])
        for digest in sorted(damaged):
            is_here = self._content.has(digest)
            if not is_here and self._core.log.get("image", digest) is not None:
                continue  # the configuration of an image that was made here: the log has it
            users = self._users_of_blob(digest)
            problem = Problem(f"blob {digest}", "is damaged" if is_here else "is missing", _names(users))
            problem.pull = _sources(users)
            if is_here and repair:
                self._content.remove(digest)
            report.problems.append(problem)
        return damaged

    def _users_of_blob(self, digest: str) -> list[Image]:
        users = []
        for image in self._core.log.all("image"):
            layers = (self._core.log.get("layer", chain_id) for chain_id in image.chain_ids)
            blobs = {layer.blob_digest for layer in layers if layer is not None}
            if digest in blobs | self._blobs.of_image(image):
                users.append(image)
        return users

    def _check_layer(
        self, layer: Layer, damaged: set[str], report: FsckReport, repair: bool, context: Context
    ) -> None:
        report.layers += 1
        has_blob = layer.blob_digest not in damaged and self._content.has(layer.blob_digest)
        what = self._what_is_wrong(layer, has_blob)
        if not what:
            return
        holders = (self._core.log.get("image", image_id) for image_id in self._core.log.images_of_layer(layer.id))
        users = [image for image in holders if image is not None]
        problem = Problem(f"layer {layer.id}", what, _names(users))
        report.problems.append(problem)
        if not has_blob:
            problem.pull = _sources(users)
        if not repair:
            return
        if busy := self._running_on(users):
            problem.what += f"; container {busy[:12]} runs on it: stop it before the repair"
            return
        self._core.recorder.record("layer", layer.id, LayerDamaged(layer.id, what), context)
        if has_blob:
            problem.repaired = self._unpack_again(layer, problem, context)

    def _running_on(self, images: list[Image]) -> str:
        """A container that has the trees of one of these images mounted; "" where none has."""
        for image in images:
            for container_id in self._core.log.containers_of_image(image.id):
                container = self._core.log.get("container", container_id)
                if container is not None and container.up:
                    return container_id
        return ""

    def _what_is_wrong(self, layer: Layer, has_blob: bool) -> str:
        if layer.status is Status.FAILED:
            return layer.error or "was not unpacked" if self._is_missed(layer) else ""
        tree = self._core.store.layer(layer.id)
        if not tree.is_dir():
            return "has no tree"
        if not has_blob:
            return ""  # nothing to compare it with; that the blob is missing is a problem of its own
        job = {
            "tree": str(tree), "blob": str(self._content.path(layer.blob_digest)), "diff_id": layer.diff_id,
            "limits": self._limits,
        }  # fmt: skip
        return self._core.runtime.run_job("layer.compare", job)["difference"]

    def _is_missed(self, layer: Layer) -> bool:
        """Whether anything counts on the layer; an image whose pull has failed does not."""
        streams = (user.partition("/") for user in self._core.log.users_of_layer(layer.id))
        users = [self._core.log.get(noun, id) for noun, _, id in streams]
        return any(user is not None and user.status != "failed" for user in users)

    def _unpack_again(self, layer: Layer, problem: Problem, context: Context) -> str:
        wanted = Wanted(layer.id, layer.diff_id, layer.parent, layer.blob_digest, "fsck")
        try:
            self._layers.ensure(wanted, context)
        except (OSError, EngineError) as error:
            problem.what += f"; it could not be unpacked again: {describe(error)}"
            return ""
        return "unpacked again from its blob"

    def _check_strangers(self, report: FsckReport, repair: bool) -> None:
        """Blobs and trees that nothing on record knows."""
        strangers = self._blobs.unwanted()
        if repair:
            self._blobs.release(strangers)
        for digest in strangers:
            gone = not self._content.has(digest)
            report.problems.append(Problem(f"blob {digest}", "is of no use", repaired="removed" if gone else ""))
        trees = sorted(self._core.store.layers.iterdir())  # before the record: a layer that comes now is known there
        known = {self._core.store.layer(layer.id).name for layer in self._core.log.all("layer")}
        for path in trees:
            if path.name in known or path.name.startswith("tmp-"):
                continue
            problem = Problem(f"tree {path}", "belongs to no layer")
            if repair:
                self._core.runtime.run_job("tree.remove", {"path": str(path)})
                problem.repaired = "removed"
            report.problems.append(problem)


def _names(images: list[Image]) -> list[str]:
    """What people call these images."""
    return [_shown(image) for image in images]


def _shown(image: Image) -> str:
    named = tags_of(image) or digests_of(image)
    return Reference.parse(named[0]).familiar if named else image.id[7:19]


def _sources(images: list[Image]) -> list[str]:
    """What to pull again: the images' tags that came from a registry, or the digests that they have there."""
    sources: dict[str, Any] = {}
    for image in images:
        digests = digests_of(image)
        for name in digests:
            sources[Reference.parse(name).familiar] = None
    return list(sources)
