"""Layers, images, volumes and temporary files at start: interrupted work is finished or undone."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any, Callable

from engine.domain.errors import EngineError, describe
from engine.domain.image import ImagePullFailed, ImagePushFailed
from engine.domain.image import Status as ImageStatus
from engine.domain.layer import LayerUnpackFailed
from engine.domain.layer import Status as LayerStatus
from engine.domain.remap import RemapCopyFailed
from engine.domain.remap import Status as RemapStatus
from engine.domain.volume import Status as VolumeStatus
from engine.eventlog.log import Context
from engine.images.content import ContentStore
from engine.services.blobs import Blobs
from engine.services.core import Core
from engine.services.image_removal import ImageRemoval
from engine.services.layers import Layers
from engine.services.volumes import Volumes

_HEXADECIMAL_ID = re.compile("[0-9a-f]{64}")
INTERRUPTED = "the engine ended before the outcome was known"


class StoreRecovery:
    """One pass over everything that lies on the disk, before the API listens."""

    def __init__(
        self, core: Core, content: ContentStore, blobs: Blobs, layers: Layers, removal: ImageRemoval,
        volumes: Volumes, context: Context,
    ) -> None:  # fmt: skip
        self._core = core
        self._content = content
        self._blobs = blobs
        self._layers = layers
        self._removal = removal
        self._volumes = volumes
        self._context = context

    def run(self) -> None:
        """Settle layers, images and volumes; sweep what only a crash can leave behind."""
        self._content.sweep()
        self._settle_remaps()
        self._settle_layers()
        self._settle_images()
        self._release_orphans()
        self._try(self._blobs.sweep)
        self._settle_volumes()
        self._sweep_folders()

    def _settle_layers(self) -> None:
        for layer in self._core.log.all("layer"):
            if layer.status is LayerStatus.UNPACKING:
                # perhaps renamed into place, but the log never called it present: unpacked again when it is wanted
                self._remove(self._core.store.layer(layer.id))
                failed = LayerUnpackFailed(layer.id, INTERRUPTED)
                self._core.recorder.record("layer", layer.id, failed, self._context)
            elif layer.status is LayerStatus.REMOVING:
                self._try(self._layers.finish_removal, layer.id, self._context)

    def _settle_remaps(self) -> None:
        for remap in self._core.log.all("remap"):
            if remap.status is RemapStatus.COPYING:
                failed = RemapCopyFailed(remap.id, INTERRUPTED)  # its files go with those that nobody knows
                self._core.recorder.record("remap", remap.id, failed, self._context)

    def _settle_images(self) -> None:
        for image in self._core.log.all("image"):
            if image.status is ImageStatus.REMOVING:
                self._try(self._removal.finish, image, self._context)
            elif image.status is ImageStatus.PULLING:
                # its layers stay, for the next pull or the next prune
                self._record_image(ImagePullFailed(image.id, INTERRUPTED))
            elif "push" in image.intents:
                self._record_image(ImagePushFailed(image.id, "", INTERRUPTED))

    def _record_image(self, event: ImagePullFailed | ImagePushFailed) -> None:
        self._core.recorder.record("image", event.image_id, event, self._context)

    def _release_orphans(self) -> None:
        """Layers that came for an image that never did: an archive's, or an import's."""
        for layer in self._core.log.all("layer"):
            if not self._core.log.users_of_layer(layer.id):
                self._try(self._layers.release, [layer.id], "", self._context)

    def _settle_volumes(self) -> None:
        for volume in self._core.log.all("volume"):
            if volume.status is VolumeStatus.CREATING:
                self._try(self._volumes.finish_creation, volume.id, self._context)
            elif volume.status is VolumeStatus.REMOVING:
                self._try(self._volumes.finish_removal, volume.id, self._context)

    def _sweep_folders(self) -> None:
        """Temporary trees of workers that died. What the log knows, and what others put here, stays."""
        store = self._core.store
        found = [*store.layers.glob("tmp-*"), *store.trash.iterdir(), *self._folders_of_removed(), *self._lost_remaps()]
        for folder in found:
            self._remove(folder)

    def _lost_remaps(self) -> list[Path]:
        """Copies that are not whole, or that nobody gets any more."""
        wanted = {
            self._core.store.remap(remap.id) for remap in self._core.log.all("remap")
            if remap.status is RemapStatus.PRESENT
        }  # fmt: skip
        return [folder for folder in self._core.store.remaps.iterdir() if folder not in wanted]

    def _remove(self, folder: Path) -> None:
        """What resists is told: it must not keep the engine from starting."""
        try:
            self._core.runtime.run_job("tree.remove", {"path": str(folder)})
        except (OSError, EngineError) as error:
            print(f"docket: {folder} stays: {describe(error)}", file=sys.stderr, flush=True)

    def _folders_of_removed(self) -> list[Path]:
        """Of containers and layers: a power cut may have undone their way into the trash, which is not synced before
        the removal is on record."""
        log, store = self._core.log, self._core.store
        known = {"container": store.containers, "layer": store.layers}
        return [
            folder for noun, parent in known.items() for folder in parent.iterdir()
            if _HEXADECIMAL_ID.fullmatch(folder.name)
            and log.get(noun, f"sha256:{folder.name}" if noun == "layer" else folder.name) is None
        ]  # fmt: skip

    @staticmethod
    def _try(action: Callable[..., Any], *arguments: Any) -> None:
        """One object that can't be settled must not stop the start; its failure is on record."""
        try:
            action(*arguments)
        except (OSError, EngineError):
            return


def forget_volatile(run_dir: Path, boot_id: str) -> None:
    """After a reboot nothing in the run folder means anything any more (it may lie on a disk)."""
    marker = run_dir / "boot_id"
    if marker.exists() and marker.read_text() == boot_id:
        return
    shutil.rmtree(run_dir / "shims", ignore_errors=True)
    temporary = run_dir / f"boot_id.{os.getpid()}"
    temporary.write_text(boot_id)
    temporary.rename(marker)
