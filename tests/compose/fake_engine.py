"""As much of an engine as planner and effects speak with: containers, networks, volumes and images in memory."""

from __future__ import annotations

import itertools
from typing import Any, Mapping

from engine.client.errors import APIError

Json = dict[str, Any]


class FakeEngine:
    """``requests`` is what was asked, in order. A container of an image in ``ends`` ends as soon as it starts."""

    def __init__(self, *images: str, ends: Mapping[str, int] | None = None) -> None:
        self.images = {name: f"sha256:{name}" for name in images}
        self.ends = dict(ends or {})
        self.containers: dict[str, Json] = {}
        self.networks: dict[str, Json] = {}
        self.volumes: dict[str, Json] = {}
        self.requests: list[str] = []
        self._numbers = itertools.count(1)

    def names(self) -> list[str]:
        return sorted(one["name"] for one in self.containers.values())

    def by_name(self, name: str) -> Json:
        return next(one for one in self.containers.values() if one["name"] == name)


class FakeClient:
    """The methods of engine.client.Client that are used."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.causes: list[str] = []

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *exception: object) -> None: ...

    def say_cause(self, cause: str) -> None:
        self.causes.append(cause)

    def negotiate(self) -> str:
        return "1.47"

    def inspect(self, container: str) -> Json:
        return self.call("GET", f"/containers/{container}/json")

    def call(self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None) -> Any:
        self._engine.requests.append(f"{method} {path}")
        noun, *rest = path.strip("/").split("/")
        return getattr(self, f"_{noun}")(method, rest, body or {}, query or {})

    # --- nouns -------------------------------------------------------------------------------------------------------

    def _images(self, method: str, rest: list[str], body: Json, query: Mapping[str, Any]) -> Any:
        if rest[0] not in self._engine.images:
            raise APIError(404, f"No such image: {rest[0]}")
        return {"Id": self._engine.images[rest[0]]}

    def _networks(self, method: str, rest: list[str], body: Json, query: Mapping[str, Any]) -> Any:
        found = self._engine.networks
        if method == "GET":
            return [{"Id": one["Id"], "Name": name, "Labels": one["Labels"]} for name, one in found.items()]
        if rest == ["create"]:
            assert body["Name"] not in found, f"a second network {body['Name']}"
            found[body["Name"]] = {"Id": f"net{next(self._engine._numbers)}", "Labels": body.get("Labels") or {}}
            return {"Id": found[body["Name"]]["Id"]}
        if rest[1:] == ["disconnect"]:
            self._container(body["Container"])["networks"].pop(rest[0], None)
            return None
        up = [one for one in self._engine.containers.values() if one["state"] in ("running", "paused")]
        if any(rest[0] in one["networks"] for one in up):
            raise APIError(403, f"network {rest[0]} has active endpoints")
        if found.pop(rest[0], None) is None:
            raise APIError(404, "no such network")
        return None

    def _volumes(self, method: str, rest: list[str], body: Json, query: Mapping[str, Any]) -> Any:
        found = self._engine.volumes
        if method == "GET":
            return {"Volumes": [{"Name": name, "Labels": labels} for name, labels in found.items()]}
        if rest == ["create"]:
            found[body["Name"]] = body.get("Labels") or {}
        elif found.pop(rest[0], None) is None:
            raise APIError(404, "no such volume")
        return None

    def _containers(self, method: str, rest: list[str], body: Json, query: Mapping[str, Any]) -> Any:
        if rest == ["json"]:
            return [_summary(id, one) for id, one in self._engine.containers.items()]
        if rest == ["create"]:
            return self._create(body, query["name"])
        one = self._container(rest[0])
        if method == "DELETE":
            del self._engine.containers[rest[0]]
        elif rest[1] == "json":
            return _inspected(one)
        elif rest[1] == "rename":
            self._check_name(query["name"])
            one["name"] = query["name"]
        else:
            self._live(one, rest[1])
        return None

    def _container(self, id: str) -> Json:
        if id not in self._engine.containers:
            raise APIError(404, f"No such container: {id}")
        return self._engine.containers[id]

    def _check_name(self, name: str) -> None:
        if name in self._engine.names():
            raise APIError(409, f"the name {name} is in use")

    def _create(self, body: Json, name: str) -> Json:
        self._check_name(name)
        if body["Image"] not in self._engine.images:
            raise APIError(404, f"No such image: {body['Image']}")
        endpoints = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        for network in endpoints:
            assert network in self._engine.networks, f"{name} is made before its network {network}"
        binds = [bind.partition(":")[0] for bind in body["HostConfig"].get("Binds") or ()]
        for volume in (bind for bind in binds if not bind.startswith("/")):
            assert volume in self._engine.volumes, f"{name} is made before its volume {volume}"
        number = next(self._engine._numbers)
        id = f"{number:064x}"
        self._engine.containers[id] = {
            "name": name, "state": "created", "code": None, "body": body, "started": 0,
            "networks": {network: self._engine.networks[network]["Id"] for network in endpoints}, "volumes": binds,
        }  # fmt: skip
        return {"Id": id}

    def _live(self, one: Json, verb: str) -> None:
        if verb in ("start", "restart"):
            one["state"], one["started"] = "running", next(self._engine._numbers)
            code = self._engine.ends.get(one["body"]["Image"])
            if code is not None:
                one["state"], one["code"] = "exited", code
        elif verb in ("stop", "kill"):
            one["state"], one["code"] = "exited", 137
        else:
            one["state"] = {"pause": "paused", "unpause": "running"}[verb]


def _summary(id: str, one: Json) -> Json:
    status = f"Exited ({one['code']}) a second ago" if one["state"] == "exited" else one["state"].capitalize()
    if one["state"] == "running":
        status = "Up 1 second" + (" (healthy)" if one["body"].get("Healthcheck") else "")
    return {
        "Id": id, "Names": ["/" + one["name"]], "State": one["state"], "Status": status, "ImageID": "",
        "Labels": one["body"].get("Labels") or {},
        "NetworkSettings": {"Networks": {name: {"NetworkID": id} for name, id in one["networks"].items()}},
        "Mounts": [{"Name": name} for name in one["volumes"]],
        "HostConfig": {"NetworkMode": one["body"]["HostConfig"].get("NetworkMode", "")},
    }  # fmt: skip


def _inspected(one: Json) -> Json:
    health = {"Health": {"Status": "healthy"}} if one["body"].get("Healthcheck") else {}
    state = {"Status": one["state"], "Running": one["state"] == "running", "ExitCode": one["code"] or 0, **health}
    return {"Name": "/" + one["name"], "State": state, "Mounts": []}
