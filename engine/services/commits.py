"""What a container has changed of its image: listed (diff), and made an image of its own (commit)."""

from __future__ import annotations

import json
from typing import Any, Iterator, Mapping, Sequence

from engine.domain.container import Container, Status
from engine.domain.errors import Conflict, NotFound
from engine.domain.layer import Layer
from engine.eventlog.log import Context
from engine.images import config as image_config
from engine.images.content import ContentStore
from engine.images.references import Reference
from engine.kernel import cgroups
from engine.services import request_shapes, user_namespace
from engine.services.archives import Archives
from engine.services.blobs import Blobs
from engine.services.core import Core, resolve_container
from engine.services.job_streams import output_of
from engine.services.launch_plan import lower_folders
from engine.services.lifecycle import Lifecycle
from engine.services.views import parse_document

IMAGE_KEYS = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "StopTimeout",
    "Healthcheck", "Shell", "OnBuild",
)  # fmt: skip
"""What of a container's ``Config`` an image has, too."""


class Commits:
    """The use cases of writable layers."""

    def __init__(
        self, core: Core, content: ContentStore, blobs: Blobs, archives: Archives, lifecycle: Lifecycle
    ) -> None:
        self._core = core
        self._content = content
        self._blobs = blobs
        self._archives = archives
        self._lifecycle = lifecycle

    # --- diff ---

    def changes(self, reference: str) -> Iterator[tuple[str, str]]:
        """(path, "added", "modified" or "deleted"), a folder before what is in it."""
        container = resolve_container(self._core.log, reference)
        job = self._layer_job(container)
        return iter(()) if job is None else self._changes(container, job)

    def _layer_job(self, container: Container) -> dict[str, Any] | None:
        """None for a container that never ran, and was never written to."""
        upper = self._core.store.container(container.id) / "upper"
        if not upper.exists():
            return None
        host = self._core.settings_of(container)["HostConfig"]
        owners = user_namespace.mappings(host)
        return {"upper": str(upper), "lower": lower_folders(self._core, container), "owners": owners}

    def _changes(self, container: Container, job: dict[str, Any]) -> Iterator[tuple[str, str]]:
        rest = b""
        try:
            for piece in output_of(lambda fds: self._core.runtime.run_job("layer.changes", job, fds)):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    path, kind = json.loads(line)
                    yield path, kind
        except FileNotFoundError:
            self._refuse_going(container)
            raise

    # --- commit ---

    def commit(
        self, reference: str, *, target: str | None, config: Mapping[str, Any], changes: Sequence[str], author: str,
        comment: str, pause: bool, context: Context,
    ) -> str:  # fmt: skip
        """An image of the container's image and what it changed. Answers with its id.

        ``config`` overrides keys of the container's ``Config``, ``changes`` are instructions that come last. A running
        container stands still meanwhile where ``pause`` is set.
        """
        request_shapes.check(config, request_shapes.CONTAINER)
        container = resolve_container(self._core.log, reference)
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"You cannot commit container {reference} which is {container.public_status}")
        name = Reference.parse(target).normalized if target else None
        own = self._core.settings_of(container)["Config"]
        merged = {key: own[key] for key in IMAGE_KEYS if own.get(key)}
        merged |= {key: config[key] for key in IMAGE_KEYS if config.get(key)}
        settings = image_config.apply_changes(merged, changes)
        with self._blobs.arriving():
            layer = self._layer_of(container, pause, context)
            try:
                self._refuse_going(container)
                document = self._document(container, settings, layer["digest"], author, comment)
                blobs = [*self._base_blobs(container), *filter(None, [layer["digest"]])]
                names = [name] if name else []
                return self._archives.add(document, blobs, "commit", container.id, names, context)
            finally:
                self._blobs.release([layer["digest"]])

    def _refuse_going(self, container: Container) -> None:
        """Files that were read while they were being removed are not what the container had. Raises Conflict."""
        current = self._core.log.get("container", container.id)
        if current is None or current.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"container {container.id} was removed while its files were read")

    def _layer_of(self, container: Container, pause: bool, context: Context) -> dict[str, Any]:
        """The blob of the writable layer; ``digest`` is empty where nothing was changed."""
        job = self._layer_job(container)
        if job is None:
            return {"digest": ""}
        stopped = pause and self._may_freeze() and self._pause(container, context)
        try:
            return self._core.runtime.run_job("layer.commit", {**job, "content": str(self._content.root)})
        except FileNotFoundError:
            self._refuse_going(container)
            raise
        finally:
            if stopped:
                self._unpause(container, context)

    def _may_freeze(self) -> bool:
        """An ordinary user's engine without cgroups takes what there is while processes go on."""
        return self._core.rootless is None or bool(cgroups.detect().mount_points)

    def _pause(self, container: Container, context: Context) -> bool:
        """Whether it runs and is frozen by us now."""
        if container.status is not Status.RUNNING:
            return False
        try:
            self._lifecycle.pause(container.id, context)
        except (Conflict, NotFound):
            return False  # it ended, or somebody was quicker
        return True

    def _unpause(self, container: Container, context: Context) -> None:
        try:
            self._lifecycle.unpause(container.id, context)
        except (Conflict, NotFound):
            return  # somebody has thawed or killed it

    def _base_blobs(self, container: Container) -> list[str]:
        image = self._core.log.get("image", container.image_id) if container.image_id else container
        return [layer.blob_digest for layer in self._layers(image.chain_ids if image else ())]

    def _layers(self, chain_ids: Sequence[str]) -> list[Layer]:
        states = (self._core.log.get("layer", chain_id) for chain_id in chain_ids)
        return [state for state in states if state is not None]

    def _base(self, container: Container) -> dict[str, Any]:
        """The configuration of the container's image; a build's has none, and stands on layers alone."""
        if container.image_id:
            return parse_document(self._core.log.document(container.image_id))
        system, architecture = image_config.host_platform()
        diff_ids = [layer.diff_id for layer in self._layers(container.chain_ids)]
        return {"architecture": architecture, "os": system, "rootfs": {"diff_ids": diff_ids}}

    def _document(
        self, container: Container, settings: Mapping[str, Any], diff_id: str, author: str, comment: str
    ) -> bytes:
        step = {"created_by": " ".join(container.command), "author": author, "comment": comment}
        return image_config.derived(
            self._base(container), settings, diff_ids=[diff_id] if diff_id else [],
            created_at_us=self._core.clock.now_us(),
            history=[{key: value for key, value in step.items() if value}], author=author,
        )  # fmt: skip
