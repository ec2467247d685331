"""Records of the log as Docker's events.

One record may be several of Docker's events (the end of a stopped container is ``die`` and ``stop``) or none (intents).
Docker's events carry the container's name, image and labels, which most records don't repeat: the translator folds
each container's stream alongside, from its beginning, so that an event of last week is told with the name of last week.
Our own facts ride as extra attributes: ``docket.seq`` and ``docket.who``.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping

from engine.api.filters import Filters
from engine.api.views.images import familiar
from engine.domain import container as containers
from engine.domain import endpoint as endpoints
from engine.domain import exec as execs
from engine.domain import image as images
from engine.domain import network as networks
from engine.domain import prune as prunes
from engine.domain import volume as volumes
from engine.domain.machine import Event

FILTERS = frozenset(
    {"config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope", "secret",
     "service", "type", "volume"}
)  # fmt: skip

REMEMBERED = 1000
"""How many containers a translator keeps folded; others are folded anew when they come up."""


@dataclass(slots=True)
class _Story:
    """A container folded up to ``version``, with the commands of its execs."""

    state: containers.Container | None = None
    version: int = 0
    mounts: tuple[tuple[str, Mapping[str, str]], ...] = ()
    exec_commands: dict[str, str] = field(default_factory=dict)

    def fold(self, record: Any) -> None:
        if record.stream.startswith("container/"):
            self.state = containers.evolve(self.state, record.event)
            self.version = record.version
        elif isinstance(record.event, execs.ExecCreated):
            program, *arguments = record.event.command
            # with a space after a program that has no arguments, as Docker has it
            self.exec_commands[record.event.exec_id] = f"{program} {' '.join(arguments)}"


class Translator:
    """Translates records in the order of the log. ``services.audit.trail`` gives a container's past."""

    def __init__(self, services: Any) -> None:
        self._services = services
        self._stories: OrderedDict[str, _Story] = OrderedDict()
        self._networks: dict[str, dict[str, str]] = {}
        self._labels: OrderedDict[str, dict[str, str]] = OrderedDict()

    def translate(self, record: Any) -> Iterator[dict[str, Any]]:
        """Docker's events for one record, without regard to filters."""
        event: Event = record.event
        noun, _, object_id = record.stream.partition("/")
        if noun == "container":
            yield from self._container(record, object_id, event)
        elif noun == "exec":
            yield from self._exec(record, event)
        elif isinstance(event, images.ImageCreated) and event.origin == "commit":
            yield from self._commit(record, event)
        elif noun == "image":
            yield from _image(record, object_id, event, self._image_labels(object_id))
        elif noun == "volume":
            yield from _volume(record, object_id, event)
        elif noun == "network":
            yield from self._network(record, object_id, event)
        elif noun == "endpoint":
            yield from self._endpoint(record, object_id, event)
        elif isinstance(event, prunes.PruneDone):
            yield _event(record, object_id, "prune", "", {"reclaimed": str(event.reclaimed_bytes)})

    def _image_labels(self, image_id: str) -> dict[str, str]:
        """Of an image that may be gone; its id is the digest of what says them."""
        if image_id not in self._labels:
            trail = self._services.audit.trail("image", image_id)
            own = (record.data.get("labels") for record in trail if record.stream == f"image/{image_id}")
            self._labels[image_id] = next(filter(None, own), {})
            if len(self._labels) > REMEMBERED:
                self._labels.popitem(last=False)
        return self._labels[image_id]

    def _story(self, container_id: str, before: Any) -> _Story:
        """The container as it was just before a record."""
        story = self._stories.get(container_id)
        if story is None or (before.stream.startswith("container/") and story.version != before.version - 1):
            story = _Story()
            if before.version > 1 or not before.stream.startswith("container/"):
                for record in self._services.audit.trail("container", container_id):
                    if record.seq < before.seq:
                        story.fold(record)
            self._stories[container_id] = story
            if len(self._stories) > REMEMBERED:
                self._stories.popitem(last=False)
        self._stories.move_to_end(container_id)
        return story

    def _container(self, record: Any, container_id: str, event: Event) -> Iterator[dict[str, Any]]:
        story = self._story(container_id, record)
        was_stopping = story.state is not None and "stop" in story.state.intents
        is_restart = story.state is not None and story.state.restarting
        story.fold(record)
        state = story.state
        assert state is not None
        for action, attributes in _container_actions(event, was_stopping=was_stopping, is_restart=is_restart):
            if action in ("mount", "unmount"):
                if state.volumes and not story.mounts:
                    story.mounts = tuple(self._services.events.mounts(state))
                for name, how in story.mounts:
                    attributes = {"container": container_id, "driver": "local", **(how if action == "mount" else {})}
                    yield _event(record, "volume", action, name, attributes)
            else:
                yield _container_event(record, state, action, attributes)
        if isinstance(event, containers.ContainerRemoved):
            del self._stories[container_id]

    def _commit(self, record: Any, event: images.ImageCreated) -> Iterator[dict[str, Any]]:
        """Docker tells it of the container."""
        story = self._story(event.source, record)
        if story.state is not None:
            yield _container_event(record, story.state, "commit", {"imageID": event.image_id})

    def _network(self, record: Any, network_id: str, event: Event) -> Iterator[dict[str, Any]]:
        actions = {networks.NetworkCreated: "create", networks.NetworkRemoved: "destroy"}
        if action := actions.get(type(event)):
            yield _event(record, "network", action, network_id, self._network_attributes(network_id))

    def _network_attributes(self, network_id: str) -> dict[str, str]:
        """Of a network that may be gone; its name never changes."""
        if network_id not in self._networks:
            first = self._services.audit.trail("network", network_id)[0].data
            self._networks[network_id] = {"name": first["name"], "type": first["driver"]}
        return self._networks[network_id]

    def _endpoint(self, record: Any, endpoint_id: str, event: Event) -> Iterator[dict[str, Any]]:
        actions: dict[type[Event], str] = {
            endpoints.EndpointAttached: "connect",
            endpoints.EndpointDetached: "disconnect",
            endpoints.EndpointReleased: "disconnect",
        }
        if action := actions.get(type(event)):
            first = self._services.audit.trail("endpoint", endpoint_id)[0].data
            attributes = {"container": first["container_id"], **self._network_attributes(first["network_id"])}
            yield _event(record, "network", action, first["network_id"], attributes)

    def _exec(self, record: Any, event: Any) -> Iterator[dict[str, Any]]:
        story = self._story(event.container_id, record)
        story.fold(record)
        if story.state is None:
            return  # the container's own stream is not there: a log that was cut
        command = story.exec_commands.get(event.exec_id, "")
        attributes = {"execID": event.exec_id}
        match event:
            case execs.ExecCreated():
                action = f"exec_create: {command}"
            case execs.ExecStarted():
                action = f"exec_start: {command}"
            case execs.ExecExited(exit_code=exit_code):
                action = "exec_die"
                attributes["exitCode"] = str(exit_code)
                story.exec_commands.pop(event.exec_id, None)
            case execs.ExecDetached():
                action = "exec_detach"
            case _:
                return
        yield _container_event(record, story.state, action, attributes)


def _container_actions(
    event: Event, *, was_stopping: bool, is_restart: bool
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Docker's actions for an event of a container, in Docker's order, each with its own attributes; ``mount`` and
    ``unmount`` stand for all of its volumes."""
    match event:
        case containers.ContainerCreated():
            yield "create", {}
        case containers.ContainerStarted():
            yield "mount", {}
            yield "start", {}
            if is_restart:
                yield "restart", {}
        case containers.ContainerExited(exit_code=exit_code):
            yield "die", {"exitCode": str(exit_code)}
            yield "unmount", {}
            if was_stopping:
                yield "stop", {}
        case containers.ContainerStopping(signal=signal) | containers.ContainerKilled(signal=signal):
            yield "kill", {"signal": str(signal)}
        case containers.ContainerOomKilled():
            yield "oom", {}
        case containers.ContainerHealthChanged(health=health):
            yield f"health_status: {health}", {}
        case containers.ContainerAttached():
            yield "attach", {}
        case containers.ContainerDetached():
            yield "detach", {}
        case containers.ContainerFilesAccessed(access="write", path=path):
            yield "extract-to-dir", {"path": path}
        case containers.ContainerFilesAccessed(access="read", path=path):
            yield "archive-path", {"path": path}
        case containers.ContainerFilesAccessed():
            yield "export", {}
        case containers.ContainerPaused():
            yield "pause", {}
        case containers.ContainerUnpaused():
            yield "unpause", {}
        case containers.ContainerUpdated():
            yield "update", {}
        case containers.ContainerRenamed(old_name=old_name):
            yield "rename", {"oldName": f"/{old_name}"}
        case containers.ContainerRemoved():
            yield "destroy", {}


def _image(record: Any, image_id: str, event: Event, labels: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """With the image's labels, as long as it is there. A pull is told by the name that it gave, as Docker tells it."""
    itself = {**labels, "name": image_id}
    match event:
        case images.ImageCreated(origin=origin):
            yield _event(record, "image", origin, image_id, itself)
        case images.ImageTagged(reference=reference, source=source) if source:
            yield _named(record, "pull", reference, labels)
        case images.ImageTagged(reference=reference):
            yield _event(record, "image", "tag", image_id, {**labels, "name": familiar(reference)})
        case images.ImagePushed(reference=reference):
            yield _named(record, "push", reference, labels)
        case images.ImageSaved():
            yield _event(record, "image", "save", image_id, itself)
        case images.ImageUntagged(moved_to=""):
            yield _event(record, "image", "untag", image_id, itself)
        case images.ImageRemoved():
            yield _event(record, "image", "delete", image_id, {"name": image_id})


def _named(record: Any, action: str, reference: str, labels: Mapping[str, str]) -> dict[str, Any]:
    name = familiar(reference)
    return _event(record, "image", action, name, {**labels, "name": _without_tag(name.partition("@")[0])})


def _volume(record: Any, name: str, event: Event) -> Iterator[dict[str, Any]]:
    match event:
        case volumes.VolumeCreated():
            yield _event(record, "volume", "create", name, {"driver": "local"})
        case volumes.VolumeRemoved():
            yield _event(record, "volume", "destroy", name, {"driver": "local"})


def _container_event(
    record: Any, state: containers.Container, action: str, attributes: Mapping[str, str]
) -> dict[str, Any]:
    # labels come first: what a container says of itself can't overwrite what the engine says of it
    merged = {**state.labels, "image": state.image, "name": state.name, **attributes}
    return _event(record, "container", action, state.id, merged, origin=state.image)


def _event(
    record: Any, kind: str, action: str, object_id: str, attributes: Mapping[str, str], *, origin: str = ""
) -> dict[str, Any]:
    """Docker's envelope, with the three fields that came before Type and Action where Docker still sends them."""
    legacy: dict[str, Any] = {"status": action, "id": object_id} if kind in ("container", "image") else {}
    if origin:
        legacy["from"] = origin
    ours = {"docket.seq": str(record.seq), "docket.who": _who(record)}
    return {
        **legacy,
        "Type": kind,
        "Action": action,
        "Actor": {"ID": object_id, "Attributes": {**attributes, **ours}},
        "scope": "local",
        "time": record.time_us // 1_000_000,
        "timeNano": record.time_us * 1000,
    }


def _who(record: Any) -> str:
    """The actor in one line: the door, and for people and programs their uid and pid, or their certificate."""
    actor = record.actor
    words = [str(actor.get("door", ""))]
    words += [f"{name}={actor[name]}" for name in ("uid", "pid", "program", "subject", "address") if name in actor]
    return " ".join(words)


def matches(event: Mapping[str, Any], filters: Filters) -> bool:
    """Docker's filters on events."""
    kind, action, actor = event["Type"], event["Action"], event["Actor"]
    attributes = actor["Attributes"]
    return (
        filters.allows("type", kind)
        and filters.allows("event", action, action.partition(":")[0])
        and filters.allows("scope", event["scope"])
        and filters.allows_labels(attributes)
        and _matches_image(filters, kind, actor)
        and all(
            _matches_object(filters, name, actor)
            for name in ("container", "volume", "network", "daemon", "plugin", "service", "node", "secret", "config")
        )
    )


def _matches_object(filters: Filters, name: str, actor: Mapping[str, Any]) -> bool:
    """By the beginning of an id or a name, of whatever kind, as Docker does: ``type`` is what tells kinds apart."""
    own_name = actor["Attributes"].get("name", "")
    return name not in filters or any(
        actor["ID"].startswith(value) or own_name.startswith(value) for value in filters.get(name)
    )


def _matches_image(filters: Filters, kind: str, actor: Mapping[str, Any]) -> bool:
    """An image's name without its tag matches too; a container's events match by the image it was made from."""
    if "image" not in filters:
        return True
    name = actor["Attributes"].get("name" if kind == "image" else "image", "")
    candidates = [name, _without_tag(name)] + ([actor["ID"]] if kind == "image" else [])
    return filters.allows("image", *filter(None, candidates))


def _without_tag(name: str) -> str:
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]
