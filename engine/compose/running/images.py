"""Building, pulling and pushing the services' images through the API."""

from __future__ import annotations

import base64
import os
from typing import Any, Callable, ContextManager, Iterator, Mapping, Protocol, Sequence

from engine import __version__
from engine.client import jsontext
from engine.client.agents import Agents, parse_agents
from engine.client.api import Client, path_of
from engine.client.cache_options import check_targets, images_of
from engine.client.connection import Response
from engine.client.credentials import CredentialFile, auth_header, registry_of
from engine.compose import labels
from engine.compose.bodies.host_config import ulimits
from engine.compose.bodies.values import whole
from engine.compose.project import ComposeError
from engine.compose.running.desired import Desired, Service
from engine.compose.running.listening import Listener
from engine.compose.running.plan import Action

_INSTEAD = {
    "isolation": "it is for containers of Windows",
    "provenance": "no attestations are made: the audit trail has an image's steps",
    "sbom": "no attestations are made: the audit trail has an image's steps",
}
"""Keys of ``build`` that the engine has nothing for -> why, or what to do instead. Named, not passed over."""
_OF_SERVICE = "service:"


class Context(Protocol):
    """What is sent to be built: an archive in pieces, and the Dockerfile's name in it; or the URL of what the engine is
    to fetch instead (``remote``); and what the engine is told of other contexts (``named``)."""

    dockerfile: str
    remote: str
    named: Mapping[str, str]

    def pieces(self) -> Iterator[bytes]: ...


OpenContext = Callable[[str, str, Mapping[str, str]], ContextManager[Context]]
"""From a folder or address, the path of a Dockerfile ("" for the usual one), and other contexts by their names."""


class BuildOptions:
    """What ``docket compose build`` adds to what the file says."""

    def __init__(
        self, *, arguments: Mapping[str, str] | None = None, no_cache: bool = False, pull: bool = False,
        memory: int = 0, ssh: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.arguments = arguments or {}
        self.ssh = ssh
        self.no_cache = no_cache
        self.pull = pull
        self.memory = memory


class Images:
    """The effects of PULL, BUILD and PUSH."""

    def __init__(
        self, desired: Desired, listener: Listener, open_context: OpenContext, options: BuildOptions | None = None
    ) -> None:
        self._desired = desired
        self._listener = listener
        self._open_context = open_context
        self._options = options or BuildOptions()

    def pull(self, client: Client, action: Action) -> None:
        name, tag = _split(action.name)
        platform = self._desired.services[action.service].config.get("platform")
        query = {"fromImage": name, "tag": tag, "platform": platform or None}
        response = client.stream("POST", "/images/create", query=query, headers=_auth_of(action.name))
        self._follow(action, response)

    def push(self, client: Client, action: Action) -> None:
        name, tag = _split(action.name)
        headers = _auth_of(action.name) or {"X-Registry-Auth": auth_header({})}  # type: ignore[arg-type]
        response = client.stream("POST", path_of("images", name, "push"), query={"tag": tag}, headers=headers)
        self._follow(action, response)

    def build(self, client: Client, action: Action) -> None:
        service = self._desired.services[action.service]
        given = service.config["build"]
        for key, instead in _INSTEAD.items():
            if given.get(key) not in (None, "", False, "false", [], {}):
                raise ComposeError(f"services.{service.name}.build.{key} is not supported: {instead}")
        headers = {"X-Docket-Secrets": secrets} if (secrets := self._secrets(given)) else {}
        if known := CredentialFile().all():
            headers["X-Registry-Config"] = auth_header(known)  # type: ignore[arg-type]
        check_targets(given.get("cache_to") or (), f"services.{service.name}.build.cache_to")
        agents = Agents(self._given_agents(given), client.address)
        named = self._named_contexts(given)
        with _Dockerfile(given) as file, self._open_context(given.get("context") or ".", file, named) as context, \
             agents as joined:  # fmt: skip
            query = [*self._query(service, given), ("dockerfile", context.dockerfile)]
            query += [("remote", context.remote or None), ("contexts", dict(context.named) or None)]
            response = client.stream("POST", "/build", query=query, upload=context.pieces(), headers=headers | joined)
            self._follow(action, response)

    def _query(self, service: Service, given: Mapping[str, Any]) -> list[tuple[str, Any]]:
        own = {
            labels.PROJECT: self._desired.project.name, labels.SERVICE: service.name, labels.VERSION: __version__,
        }  # fmt: skip
        platforms = given.get("platforms") or ([service.config["platform"]] if service.config.get("platform") else [])
        if len(platforms) > 1:
            raise ComposeError(f"services.{service.name}.build.platforms: an image is built for one platform")
        hosts = [str(entry).replace("=", ":", 1) for entry in given.get("extra_hosts") or ()]
        network, place = given.get("network"), f"services.{service.name}.build"
        return [
            ("docket", True), *(("t", name) for name in [service.image, *(given.get("tags") or ())]),
            ("buildargs", self._arguments(given) or None), ("labels", {**(given.get("labels") or {}), **own}),
            ("nocache", bool(given.get("no_cache")) or self._options.no_cache),
            ("pull", bool(given.get("pull")) or self._options.pull),
            ("target", given.get("target")), ("networkmode", network if network != "default" else None),
            ("platform", platforms[0] if platforms else None), ("extrahosts", ",".join(hosts) or None),
            ("shmsize", whole(given["shm_size"], "build.shm_size") if given.get("shm_size") else None),
            ("ulimits", ulimits(given.get("ulimits")) or None), ("memory", self._options.memory or None),
            ("cachefrom", images_of(given.get("cache_from") or (), f"{place}.cache_from") or None),
            *(("allow", str(name)) for name in given.get("entitlements") or ()),
            ("privileged", bool(given.get("privileged"))),
        ]  # fmt: skip

    def _given_agents(self, given: Mapping[str, Any]) -> dict[str, list[str]]:
        """Those of the command line instead of those of the file."""
        return parse_agents(self._options.ssh or given.get("ssh") or (), self._desired.project.environment)

    def _named_contexts(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Places by name; a service stands for its image, which is built before."""
        found = {}
        for name, place in (given.get("additional_contexts") or {}).items():
            if place.startswith(_OF_SERVICE):
                place = f"docker-image://{self._desired.services[place.removeprefix(_OF_SERVICE)].image}"
            found[name] = place
        return found

    def _arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the file, of the command line, and the proxies of the user's configuration."""
        found: dict[str, Any] = dict(CredentialFile().proxies())
        environment = self._desired.project.environment
        for name, value in {**(given.get("args") or {}), **self._options.arguments}.items():
            if value is None:
                value = environment.get(name)
            if value is not None:
                found[name] = str(value)
        return found

    def _secrets(self, given: Mapping[str, Any]) -> str:
        """Base64 of a JSON object: id -> base64 of the value; "" without any."""
        found = {}
        for use in given.get("secrets") or ():
            name = use.get("target") or use["source"]
            found[name] = base64.b64encode(self._secret(use["source"])).decode()
        return base64.b64encode(jsontext.encode(found).encode()).decode() if found else ""

    def _secret(self, key: str) -> bytes:
        source = (self._desired.project.model.get("secrets") or {}).get(key) or {}
        if "content" in source:
            return str(source["content"]).encode()
        if variable := source.get("environment"):
            if variable not in self._desired.project.environment:
                raise ComposeError(f"environment variable {variable} required by secret {key} is not set")
            return self._desired.project.environment[variable].encode("utf-8", "surrogateescape")
        try:
            with open(source.get("file") or "", "rb") as file:
                return file.read()
        except OSError as error:
            raise ComposeError(f"secret {key}: open {source.get('file')}: {(error.strerror or '').lower()}") from error

    def _follow(self, action: Action, response: Response) -> None:
        """Hear the stream to its end. Raises ComposeError with the error in it."""
        try:
            for line in response.lines():
                message = jsontext.decode(line)
                if "error" in message:
                    raise ComposeError(str(message["error"]).strip())
                if text := _said(message):
                    self._listener.gets_on(action, text)
        finally:
            response.close()


def _said(message: Mapping[str, Any]) -> str:
    """A line for the user; the counting of bytes is none."""
    if "stream" in message:
        return str(message["stream"]).rstrip("\n")
    if "status" not in message or message.get("progressDetail"):
        return ""
    return (f"{message['id']}: " if message.get("id") else "") + str(message["status"])


class _Dockerfile:
    """A context with the path of a service's Dockerfile; one that stands in the compose file lies there meanwhile."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._inline = given.get("dockerfile_inline")
        file, folder = given.get("dockerfile") or "", given.get("context") or "."
        is_here = "://" not in folder and not folder.startswith("git@")
        self._path = os.path.join(folder, file) if file and is_here else file
        self._temporary = ""

    def __enter__(self) -> str:
        if self._inline is None:
            return self._path
        import tempfile

        fd, self._temporary = tempfile.mkstemp(prefix="docket-compose-")
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(self._inline)
        return self._temporary

    def __exit__(self, *exception: object) -> None:
        if self._temporary:
            os.unlink(self._temporary)


def _split(reference: str) -> tuple[str, str]:
    """Name and tag (or digest); the tag is latest where there is none."""
    if "@" in reference:
        name, _, digest = reference.partition("@")
        return _split(name)[0], digest
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")


def _auth_of(reference: str) -> dict[str, str]:
    """The header with the credentials that the user keeps for an image's registry."""
    auth = CredentialFile().get(registry_of(reference))
    return {"X-Registry-Auth": auth_header(auth)} if auth else {}
