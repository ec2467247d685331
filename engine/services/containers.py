"""Containers: creating, naming, finding, listing, attaching. What starts and ends them is lifecycle."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Callable, Iterator, Mapping, Sequence

from engine.domain.container import ALIVE, Container, ContainerCreated
from engine.domain.container_commands import AttachClient, CreateContainer, RenameContainer
from engine.domain.errors import Conflict, InvalidArgument, NameTaken, NotFound, NotSupported
from engine.eventlog.log import Change, Context, Document
from engine.kernel.cgroups import Cgroup
from engine.kernel.namespaces import members
from engine.runtime.attachment import Attachment
from engine.services import (
    container_config, health_config, json_log, layer_limits, links, network_config, request_shapes, rootless, sharing,
    trees, user_network, volumes_from,
)  # fmt: skip
from engine.services.as_of import resolve_as_of
from engine.services.core import Core, resolve_container
from engine.services.endpoints import Endpoints, change_of
from engine.services.health import HealthChecks
from engine.services.image_names import resolve_image
from engine.services.launch_plan import volume_folders
from engine.services.links import LinkIndex
from engine.services.mount_points import MountPoint
from engine.services.mount_points import parse as parse_mounts
from engine.services.names import check_name, random_name
from engine.services.sharing import namespace_of
from engine.services.top import processes
from engine.services.views import ContainerView, parse_document
from engine.services.volumes import Volumes
from engine.services.waiting_clients import WaitingClients
from engine.services.waits import Waiter


class Containers:
    """The use cases of containers that start and end nothing."""

    def __init__(self, core: Core, volumes: Volumes, health: HealthChecks, endpoints: Endpoints) -> None:
        self._core = core
        self._endpoints = endpoints
        self._health = health
        self._volumes = volumes
        self.waiting = WaitingClients(core.recorder)
        self.linked = LinkIndex(core)

    # --- creating and naming ---

    def create(self, body: Mapping[str, Any], name: str | None, context: Context) -> tuple[str, list[str]]:
        """Answer with the new id and warnings. Raises NotFound (image), InvalidArgument, NotSupported, Conflict."""
        request_shapes.check(body, request_shapes.CONTAINER)
        reference = body.get("Image")
        if not reference:
            raise InvalidArgument("no image given: Image must name one")
        chosen = self._choose_name(name)
        image = resolve_image(self._core.log, reference)
        image_config = parse_document(self._core.log.document(image.id)).get("config") or {}
        settings, warnings = self._completed(volumes_from.inherit(self._core, body), image_config)
        sharing.with_ids(self._core, settings.host_config)
        self._core.runtimes.choose(settings.host_config, settings.config)
        links.with_ids(self._core, settings.host_config)
        container_id = self._core.randomness.hex(64)
        endpoints = self._endpoints.requested(settings.endpoints, container_id, context)
        anonymous: list[str] = []
        with ExitStack() as held:  # the volumes: nobody else's until they have a user
            try:
                project = held.enter_context(layer_limits.reserved(self._core, settings.host_config))
                named = self._make_volumes(settings.mounts, anonymous, held, context)
                document = Document("container-config", settings.document())
                created = ContainerCreated(
                    container_id=container_id, name=chosen, image_id=image.id, image=reference,
                    config_digest=document.digest,
                    command=[*(settings.config["Entrypoint"] or []), *(settings.config["Cmd"] or [])],
                    created_at_us=self._core.clock.now_us(), labels=settings.config["Labels"],
                    volumes=[*named, *anonymous], anonymous_volumes=anonymous,
                    auto_remove=bool(settings.host_config.get("AutoRemove")),
                    restart_policy=settings.host_config["RestartPolicy"]["Name"],
                    restart_limit=settings.host_config["RestartPolicy"]["MaximumRetryCount"],
                    health_check=health_config.read(settings.config) is not None, project=project,
                )  # fmt: skip
                also = [change_of(endpoint) for endpoint in endpoints]
                self._append_created(created, document, also, context, named=bool(name))
            except BaseException:
                for volume in anonymous:
                    self._volumes.remove(volume, force=True, context=context)
                raise
        if settings.host_config["Links"]:
            self.linked.add(container_id, settings.host_config)
        return container_id, warnings

    def create_for_build(
        self, body: Mapping[str, Any], chain_ids: list[str], image: str, build_id: str, context: Context
    ) -> str:
        """A container whose root is these layers, which must be stored; ``body`` is complete, no image's configuration
        is added to it. Answers with its id."""
        request_shapes.check(body, request_shapes.CONTAINER)
        settings, _ = self._completed(body, {})
        sharing.with_ids(self._core, settings.host_config)
        container_id = self._core.randomness.hex(64)
        endpoints = self._endpoints.requested(settings.endpoints, container_id, context)
        document = Document("container-config", settings.document())
        created = ContainerCreated(
            container_id=container_id, name=self._choose_name(None), image_id="", image=image,
            config_digest=document.digest, command=settings.config["Cmd"], created_at_us=self._core.clock.now_us(),
            labels=settings.config["Labels"], chain_ids=chain_ids, build_id=build_id,
        )  # fmt: skip
        also = [change_of(endpoint) for endpoint in endpoints]
        self._decide_created(created, document, also, context, named=False)
        return container_id

    def _completed(
        self, body: Mapping[str, Any], image_config: Mapping[str, Any]
    ) -> tuple[container_config.Settings, list[str]]:
        """A request completed, and warnings about it."""
        whose = self._core.rootless
        rootless.refuse(whose, body)
        complete = network_config.without_default(body, self._core.network)
        complete = user_network.complete(complete, rootless=whose is not None)
        settings = container_config.normalize(complete, image_config)
        return settings, [*settings.warnings, *rootless.warnings(whose, body, settings.config, settings.host_config)]

    def _choose_name(self, name: str | None) -> str:
        log = self._core.log
        if not name:  # nearly always free: if not, the log says so
            return random_name(self._core.randomness, lambda text: False)
        chosen = check_name(name)
        if holder := log.by_name("container", chosen):
            raise _name_conflict(chosen, holder.id)
        return chosen

    def _make_volumes(
        self, mounts: tuple[MountPoint, ...], anonymous: list[str], held: ExitStack, context: Context
    ) -> list[str]:
        """Make what is missing, and hold all; ``anonymous`` collects the names made up here, in the order of the
        mounts."""
        wanted = [mount for mount in mounts if mount.type == "volume"]
        named = sorted({mount.source for mount in wanted if mount.source})
        for name in named:
            held.enter_context(self._core.recorder.exclusive(f"volume/{name}"))
        for mount in wanted:
            name = mount.source
            if not name:
                name = self._core.randomness.hex(64)
                anonymous.append(name)
                held.enter_context(self._core.recorder.exclusive(f"volume/{name}"))
            self._volumes.ensure(
                name, context, labels=dict(mount.labels), anonymous=not mount.source,
                options=dict(mount.driver_options),
            )  # fmt: skip
        return named

    def _append_created(
        self, created: ContainerCreated, document: Document, also: Sequence[Change], context: Context, *, named: bool
    ) -> None:
        """Image, volumes and the document (an equal one may be there) are held meanwhile, so that none is removed, or
        redacted, between the check and the event."""
        streams = sorted({
            f"document/{created.config_digest}", f"image/{created.image_id}",
            *(f"volume/{name}" for name in created.volumes),
        })  # fmt: skip
        with ExitStack() as held:
            for stream in streams:
                held.enter_context(self._core.recorder.exclusive(stream))
            image = self._core.log.get("image", created.image_id)
            if image is None or image.status != "present":
                raise NotFound(f"No such image: {created.image}")
            for volume in created.volumes:
                if self._core.log.get("volume", volume) is None:
                    raise NotFound(f"get {volume}: no such volume")
            self._decide_created(created, document, also, context, named=named)

    def _decide_created(
        self, created: ContainerCreated, document: Document, also: Sequence[Change], context: Context, *, named: bool
    ) -> None:
        """A name that was made up is made up anew where somebody else was given it meanwhile."""
        while True:
            try:
                self._core.recorder.decide(
                    "container", created.container_id, CreateContainer(created), context, [document], also, fresh=True
                )
                return
            except NameTaken as error:
                if error.name != created.name:
                    raise self._endpoints.leases.taken(error) from error
                if named:
                    raise _name_conflict(error.name, error.holder) from error
                free = random_name(
                    self._core.randomness, lambda text: self._core.log.by_name("container", text) is not None
                )
                created = replace(created, name=free)

    def rename(self, reference: str, name: str, context: Context) -> None:
        """Raises Conflict where the name is in use."""
        if not name:
            raise InvalidArgument("Neither old nor new names may be empty")
        container = resolve_container(self._core.log, reference)
        try:
            self._core.recorder.decide("container", container.id, RenameContainer(check_name(name)), context)
        except NameTaken as error:
            raise _name_conflict(error.name, error.holder) from error
        self._endpoints.renamed(container.id)

    # --- finding ---

    def get(self, reference: str, *, as_of: str | None = None) -> ContainerView:
        """Raises NotFound, or InvalidArgument where a prefix is ambiguous."""
        moment = resolve_as_of(as_of, self._core.log, self._core.clock)
        return self._view(resolve_container(self._core.log, reference, moment), moment)

    def list(self, *, as_of: str | None = None, only_up: bool = False) -> list[ContainerView]:
        """The containers of the moment, oldest first; of those that are not up, where they aren't asked for, only the
        links are read, which give names to others."""
        moment = resolve_as_of(as_of, self._core.log, self._core.clock)
        views: list[ContainerView] = []
        named: dict[str, list[str]] = {}
        for container in self._core.log.all("container", as_of=moment):
            if container.up or not only_up:
                views.append(view := self._listed(container, moment))
                links_of = view.links
            else:
                links_of = self._links_of(container)
            for text in links_of:
                child, _, alias = text.partition(":")
                named.setdefault(child, []).append(f"/{container.name}/{alias}")
        return [replace(view, link_names=tuple(named.get(view.state.id, ()))) for view in views] if named else views

    def _links_of(self, container: Container) -> tuple[str, ...]:
        """As the configuration keeps them: ID:ALIAS. None are known of one that has been redacted."""
        try:
            return tuple(self._settings(container)["HostConfig"].get("Links") or ())
        except Conflict:
            return ()

    def _listed(self, container: Container, moment: int | None) -> ContainerView:
        """What a list shows of it; of one whose configuration has been redacted, what its events say."""
        try:
            return self._view(container, moment)
        except Conflict:
            config = {"Cmd": container.command, "Labels": container.labels, "Image": container.image}
            return self._view(container, moment, {"Config": config, "HostConfig": {}})

    def _settings(self, container: Container) -> dict[str, Any]:
        try:
            return self._core.settings_of(container)
        except NotFound as error:
            raise Conflict(
                f'the configuration of container "{container.name}" has been redacted: its audit trail says why'
            ) from error

    def _view(
        self, container: Container, moment: int | None, settings: dict[str, Any] | None = None
    ) -> ContainerView:
        """Raises Conflict where the configuration has been redacted, and nobody brings ``settings``."""
        log = self._core.log
        settings = settings or self._settings(container)

        def evidence() -> dict[str, Any] | None:
            started = list(
                log.events(streams=[f"container/{container.id}"], types=["container.started"], until=moment)
            )
            return started[-1].data["evidence"] if started else None

        def image_config() -> dict[str, Any] | None:
            return parse_document(log.document(container.image_id)) if container.image_id else None

        def image_name() -> str:
            try:
                found = resolve_image(log, container.image, moment)
            except (NotFound, InvalidArgument):
                return container.image_id
            return container.image if found.id == container.image_id else container.image_id

        def layer_bytes() -> int:
            image = log.get("image", container.image_id)
            return image.size_bytes if image is not None else 0

        def written_bytes() -> int:
            return trees.size_bytes(self._core.runtime, folder / "upper")

        config, host = settings["Config"], settings["HostConfig"]
        linked = tuple(host.get("Links") or ())
        host = {**host, "Links": links.shown(self._core, container, host)}
        folder = self._core.store.container(container.id)
        return ContainerView(
            container, config, host, folder, self._mounts(container, host, config), self._open_execs(container),
            written_bytes, layer_bytes, evidence, image_name, image_config, lambda: self._health.results(container.id),
            tuple(self._endpoints.of(container.id, moment)), linked,
        )  # fmt: skip

    def _mounts(
        self, container: Container, host: Mapping[str, Any], config: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Docker's ``Mounts``: everything but what HostConfig has under Tmpfs."""
        mounts = parse_mounts(host, config)
        folders = volume_folders(self._core, container, mounts)
        shown = []
        for mount in mounts:
            entry: dict[str, Any] = {"Type": mount.type, "Source": mount.source, "Destination": mount.destination}
            if mount.type == "volume":
                folder = folders[mount.destination]
                entry |= {"Name": folder.parent.name, "Source": str(folder), "Driver": "local"}
            elif mount.type == "tmpfs" and mount.destination in (host.get("Tmpfs") or {}):
                continue
            propagation = mount.propagation if mount.type == "bind" else ""
            is_asked_for = mount.source or mount.destination not in (config["Volumes"] or {})
            mode = "ro" if mount.read_only else "z" if mount.type == "volume" and is_asked_for else ""
            shown.append({**entry, "Mode": mode, "RW": not mount.read_only, "Propagation": propagation})
        return shown

    def _open_execs(self, container: Container) -> tuple[str, ...]:
        if not container.alive:
            return ()
        states = (self._core.log.get("exec", exec_id) for exec_id in self._core.log.execs_of_container(container.id))
        return tuple(state.id for state in states if state is not None and state.status in ("created", "running"))

    # --- streams ---

    def wait(self, reference: str, condition: str = "not-running") -> Waiter:
        """A waiter that the caller closes."""
        return Waiter(self._core.log, self._core.clock, reference, condition or "not-running")

    def logs(
        self, reference: str, *, stdout: bool = True, stderr: bool = True, since_us: int | None = None,
        until_us: int | None = None, tail: int | None = None, timestamps: bool = False, details: bool = False,
        follow: bool = False, stop: threading.Event | None = None,
    ) -> Iterator[tuple[str, bytes]]:  # fmt: skip
        """(stream, bytes) line by line; following ends with the container, or within a second of ``stop``."""
        if not stdout and not stderr:
            raise InvalidArgument("Bad parameters: you must choose at least one stream")
        view = self.get(reference)
        if view.host_config["LogConfig"]["Type"] == "none":
            raise NotSupported("configured logging driver does not support reading")
        streams = tuple(name for name, wanted in (("stdout", stdout), ("stderr", stderr)) if wanted)
        choice = json_log.Choice(streams, since_us, until_us, tail, timestamps, details)

        def may_grow() -> bool:
            if stop is not None and stop.is_set():
                return False
            state = self._core.log.get("container", view.state.id)
            return state is not None and (state.status in ALIVE or state.status == "starting")

        return json_log.read(view.log_path, choice, may_grow if follow else None)

    def attach(
        self, reference: str, attachment: Attachment, context: Context, *, logs: bool = False,
        announce: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Hand a client's socket to the container, now or when it starts; then it is on record. Raises Conflict while
        it is paused.

        With ``logs`` what the container has written so far comes first. ``announce`` tells the client that it is
        attached. No start comes between that and the attachment itself, so that a client which starts the container
        next gets its first byte.
        """
        if logs:
            attachment = replace(attachment, logs=True)
        with ExitStack() as held:
            try:
                container = resolve_container(self._core.log, reference)
                if container.status == "paused":
                    raise Conflict(f"container {container.id} is paused, unpause the container before attach")
                held.enter_context(self._core.recorder.exclusive(f"container/{container.id}"))
                state = self._core.log.get("container", container.id)
                if state is None:
                    raise NotFound(f"No such container: {reference}")
                alive = state.status in ALIVE
                if alive:
                    command = AttachClient(attachment.streams)
                    self._core.recorder.decide("container", container.id, command, context)
                announce()
            except BaseException:
                os.close(attachment.fd)  # else the client would wait for its end, and the engine lose a descriptor
                raise
            if alive:
                self._core.runtime.attach(container.id, attachment)
            else:
                self.waiting.add(container.id, attachment, context)

    def top(self, reference: str, ps_args: str) -> tuple[list[str], list[list[str]]]:
        """Titles and rows of the processes in the container. Raises Conflict where nothing runs."""
        container = resolve_container(self._core.log, reference)
        if not container.alive:
            raise Conflict(f"container {container.id} is not running")
        cgroup = Cgroup(self._core.cgroup_path_of(container.id))
        pids = cgroup.pids() if cgroup.folders else members("pid", namespace_of(self._core, container.id, "pid"))
        return processes(pids, ps_args)

    def resize(self, reference: str, rows: int, cols: int) -> None:
        """Raises Conflict where nothing runs."""
        container = resolve_container(self._core.log, reference)
        if not container.alive:
            raise Conflict(f"container {container.id} is not running")
        self._core.runtime.resize(container.id, None, rows, cols)


def _name_conflict(name: str, holder: str) -> Conflict:
    return Conflict(
        f'Conflict. The container name "/{name}" is already in use by container "{holder}". You have to remove (or '
        "rename) that container to be able to reuse that name."
    )
