"""What each action does over the API.

Everything may have been done already by a command that was cut off, or by somebody else meanwhile: what is gone when
it should go, and there when it should be there, is no error.
"""

from __future__ import annotations

import threading

from engine import __version__
from engine.client.api import Client, path_of
from engine.client.errors import APIError
from engine.compose.bodies.container import Surroundings, container_body, own_labels
from engine.compose.bodies.injected import archive, injected_files
from engine.compose.bodies.networks_and_volumes import network_body, volume_body
from engine.compose.project import ComposeError
from engine.compose.running import comparison, names
from engine.compose.running.actual import Actual
from engine.compose.running.desired import Desired, Service
from engine.compose.running.hashing import network_hash, service_hash, volume_hash
from engine.compose.running.hooks import run_hook
from engine.compose.running.listening import Listener
from engine.compose.running.plan import (
    BUILD, CONTAINER, CREATE, DISCONNECT, IMAGE, KILL, NETWORK, PAUSE, PULL, PUSH, RECREATE, REMOVE, RENAME, RESTART,
    START, STOP, UNPAUSE, VOLUME, WAIT, Action, Plan,
)  # fmt: skip
from engine.compose.running.waiting import wait_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from engine.compose.running.images import Images

    Json = dict[str, Any]
    Effect = Callable[[Client, Action], "str | None"]

_NOT_FOUND, _CONFLICT, _FORBIDDEN = 404, 409, 403
_MANY_ENDPOINTS = (1, 44)
"""From this version of the API on a container is created with all of its endpoints."""
_ANONYMOUS_NAME_CHARACTERS = 64


class Effects:
    """Of one plan for one project. ``image_ids`` are what the services' images are now; ``images`` builds, pulls and
    pushes them, for a plan that does that."""

    def __init__(
        self, plan: Plan, desired: Desired, actual: Actual, image_ids: Mapping[str, str], listener: Listener,
        images: Images | None = None,
    ) -> None:  # fmt: skip
        self._desired = desired
        self._project = desired.project
        self._image_ids = image_ids
        self._listener = listener
        self._ids = {one.name: one.id for one in actual.containers}
        going = {one.container.id for one in plan.actions if one.verb == REMOVE and one.container is not None}
        staying = {name: [one for one in actual.of(name) if one.id not in going] for name in desired.services}
        self._by_service = {name: containers[0].id for name, containers in staying.items() if containers}
        self._names = {name: [one.name for one in containers] for name, containers in staying.items()}
        self._lock = threading.Lock()
        self._effects: dict[tuple[str, str], Effect] = {
            (CREATE, NETWORK): self._create_network,
            (REMOVE, NETWORK): self._remove_network,
            (CREATE, VOLUME): self._create_volume,
            (REMOVE, VOLUME): self._remove_volume,
            (REMOVE, IMAGE): self._remove_image,
            (CREATE, CONTAINER): self._create,
            (RECREATE, CONTAINER): self._recreate,
            (RENAME, CONTAINER): self._rename,
            (START, CONTAINER): self._start,
            (STOP, CONTAINER): self._stop,
            (RESTART, CONTAINER): self._restart,
            (REMOVE, CONTAINER): self._remove,
            (KILL, CONTAINER): self._kill,
            (PAUSE, CONTAINER): self._pause,
            (UNPAUSE, CONTAINER): self._unpause,
            (DISCONNECT, CONTAINER): self._disconnect,
        }
        if images is not None:
            self._effects |= {
                (PULL, IMAGE): images.pull, (BUILD, IMAGE): images.build, (PUSH, IMAGE): images.push,
            }  # fmt: skip

    def perform(self, client: Client, action: Action, give_up: threading.Event) -> str:
        """Do it. Answers with why it was skipped, or "". Raises ComposeError and the client's errors."""
        client.say_cause(names.cause_of(self._project.name, action.verb, action.service))
        if action.verb == WAIT:
            return self._wait(client, action, give_up)
        return self._effects[action.verb, action.kind](client, action) or ""

    def container_id(self, name: str) -> str:
        with self._lock:
            return self._ids[name]

    # --- networks, volumes, images -----------------------------------------------------------------------------------

    def _create_network(self, client: Client, action: Action) -> None:
        network = self._desired.networks[action.resource]
        body = network_body(self._project, action.resource, network, network_hash(network), __version__)
        client.call("POST", "/networks/create", body)

    def _create_volume(self, client: Client, action: Action) -> None:
        volume = self._desired.volumes[action.resource]
        body = volume_body(self._project, action.resource, volume, volume_hash(volume), __version__)
        client.call("POST", "/volumes/create", body)

    def _remove_network(self, client: Client, action: Action) -> str:
        return _gone(client, path_of("networks", action.name), in_use=(_FORBIDDEN, _CONFLICT))

    def _remove_volume(self, client: Client, action: Action) -> str:
        return _gone(client, path_of("volumes", action.name), in_use=(_CONFLICT,))

    def _remove_image(self, client: Client, action: Action) -> str:
        return _gone(client, path_of("images", action.name), in_use=(_CONFLICT,))

    # --- making containers -------------------------------------------------------------------------------------------

    def _create(self, client: Client, action: Action) -> None:
        self._make(client, action, action.name, self._surroundings())

    def _recreate(self, client: Client, action: Action) -> None:
        """The old one goes only when the new one is there, under a name in between."""
        old = action.container
        assert old is not None
        renew = bool(action.settings.get("renew_anonymous"))
        anonymous = {} if renew else self._anonymous_volumes(client, old.id)
        name = names.waiting_name(old.id, action.name)
        self._make(client, action, name, self._surroundings(anonymous), replaces=action.name)
        if old.up:
            self._stop(client, action)
        _gone(client, path_of("containers", old.id), query={"force": True, "v": renew})
        path = path_of("containers", self.container_id(action.name), "rename")
        client.call("POST", path, query={"name": action.name})

    @staticmethod
    def _anonymous_volumes(client: Client, container_id: str) -> dict[str, str]:
        """Place -> name of the volumes that nobody named."""
        mounts = client.inspect(container_id).get("Mounts") or ()
        return {
            mount["Destination"]: mount["Name"]
            for mount in mounts
            if mount["Type"] == "volume" and _is_anonymous(mount["Name"])
        }

    def _surroundings(self, anonymous: Mapping[str, str] | None = None) -> Surroundings:
        with self._lock:
            return Surroundings(dict(self._by_service), anonymous or {}, {k: list(v) for k, v in self._names.items()})

    def _make(
        self, client: Client, action: Action, name: str, surroundings: Surroundings, replaces: str = ""
    ) -> None:
        service = self._desired.services[action.service]
        body = container_body(
            self._project, service.name, service.config, action.name,
            self._labels_of(service, action.number, replaces, surroundings), surroundings,
        )  # fmt: skip
        container_id = create_container(client, body, name, service.config.get("platform"))
        with self._lock:
            self._ids[action.name] = self._by_service[service.name] = container_id
            if action.name not in self._names[service.name]:
                self._names[service.name].append(action.name)

    def _labels_of(
        self, service: Service, number: int, replaces: str, surroundings: Surroundings
    ) -> dict[str, str]:
        return own_labels(
            self._project, service.name, service.config, number=number, replaces=replaces,
            config_hash=service_hash(service, surroundings.containers), image_id=self._image_ids.get(service.image, ""),
            version=__version__, document=comparison.encoded(service.document),
        )  # fmt: skip

    def _rename(self, client: Client, action: Action) -> None:
        assert action.container is not None
        client.call("POST", path_of("containers", action.container.id, "rename"), query={"name": action.name})
        with self._lock:
            self._ids[action.name] = action.container.id

    # --- their lives -------------------------------------------------------------------------------------------------

    def _start(self, client: Client, action: Action) -> None:
        container_id = self.container_id(action.name)
        service = self._desired.services.get(action.service)
        if service is not None:
            inject(client, self._desired, service, container_id)
        self._listener.will_start(action, container_id)
        client.call("POST", path_of("containers", container_id, "start"))
        self._run_hooks(client, action, "post_start", container_id)

    def _stop(self, client: Client, action: Action) -> None:
        container_id = action.container.id if action.container else self.container_id(action.name)
        self._run_hooks(client, action, "pre_stop", container_id)
        _unless_gone(client, "POST", path_of("containers", container_id, "stop"), t=action.settings.get("timeout_s"))

    def _restart(self, client: Client, action: Action) -> None:
        container_id = self.container_id(action.name)
        if action.container is not None and action.container.up:
            self._run_hooks(client, action, "pre_stop", container_id)
        self._listener.will_start(action, container_id)
        query = {"t": action.settings.get("timeout_s")}
        client.call("POST", path_of("containers", container_id, "restart"), query=query)
        self._run_hooks(client, action, "post_start", container_id)

    def _run_hooks(self, client: Client, action: Action, moment: str, container_id: str) -> None:
        service = self._desired.services.get(action.service)
        for hook in (service.config.get(moment) or ()) if service is not None else ():
            run_hook(client, container_id, moment, hook, lambda data: self._listener.hook_writes(action, data))

    def _remove(self, client: Client, action: Action) -> str:
        assert action.container is not None
        query = {"force": True, "v": bool(action.settings.get("volumes"))}
        return _gone(client, path_of("containers", action.container.id), query=query)

    def _kill(self, client: Client, action: Action) -> None:
        path = path_of("containers", self.container_id(action.name), "kill")
        client.call("POST", path, query={"signal": action.settings.get("signal") or "SIGKILL"})

    def _pause(self, client: Client, action: Action) -> None:
        client.call("POST", path_of("containers", self.container_id(action.name), "pause"))

    def _unpause(self, client: Client, action: Action) -> None:
        client.call("POST", path_of("containers", self.container_id(action.name), "unpause"))

    def _disconnect(self, client: Client, action: Action) -> None:
        assert action.container is not None
        body = {"Container": action.container.id, "Force": True}
        _unless_gone(client, "POST", path_of("networks", action.resource, "disconnect"), body)

    def _wait(self, client: Client, action: Action, give_up: threading.Event) -> str:
        condition = str(action.settings["condition"]).partition(" ")[0]
        try:
            wait_for(client, self.container_id(action.name), action.service, condition, give_up)
        except ComposeError as error:
            if give_up.is_set():
                raise
            if not action.settings.get("required", True):
                self._listener.warns(f'optional dependency "{action.service}" failed to start: {error}')
                return f'optional dependency "{action.service}" failed to start'
            prefix = "" if str(error).startswith("service ") else "dependency failed to start: "
            raise ComposeError(f"{prefix}{error}") from error
        return ""


# --- what ``run`` needs, too -----------------------------------------------------------------------------------------


def create_container(client: Client, body: Json, name: str, platform: Any = None) -> str:
    """Create, and connect to what an older engine can't be told at once. Answers with the id."""
    endpoints = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    later: Json = {}
    if len(endpoints) > 1 and _version(client.negotiate()) < _MANY_ENDPOINTS:
        mode = body["HostConfig"]["NetworkMode"]
        later = {network: settings for network, settings in endpoints.items() if network != mode}
        body = {**body, "NetworkingConfig": {"EndpointsConfig": {mode: endpoints[mode]}}}
    created = client.call("POST", "/containers/create", body, query={"name": name, "platform": platform or None})
    for network, settings in later.items():
        connection = {"Container": created["Id"], "EndpointConfig": settings}
        client.call("POST", path_of("networks", network, "connect"), connection)
    return created["Id"]


def inject(client: Client, desired: Desired, service: Service, container_id: str) -> None:
    """Copy the secrets and configs that are texts."""
    if files := injected_files(desired.project, service.name, service.config):
        query = {"path": "/", "noOverwriteDirNonDir": "true"}
        path = path_of("containers", container_id, "archive")
        response = client.stream("PUT", path, query=query, upload=[archive(files)])
        response.read()
        response.close()


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _is_anonymous(name: str) -> bool:
    return len(name) == _ANONYMOUS_NAME_CHARACTERS and not name.strip("0123456789abcdef")


def _unless_gone(client: Client, method: str, path: str, body: Any = None, **query: Any) -> None:
    try:
        client.call(method, path, body, query=query)
    except APIError as error:
        if error.status != _NOT_FOUND:
            raise


def _gone(client: Client, path: str, *, query: Mapping[str, Any] | None = None, in_use: tuple[int, ...] = ()) -> str:
    """Remove what may be gone already. What others still use stays."""
    try:
        client.call("DELETE", path, query=query)
    except APIError as error:
        if error.status in in_use:
            return "Resource is still in use"
        if error.status != _NOT_FOUND and "already in progress" not in str(error):
            raise
    return ""
