"""Building images: Docker's classic builder, with a few parameters of our own."""

from __future__ import annotations

import base64
import binascii
import collections
import socket
from typing import Any, Callable, Iterator, Mapping

from engine.api.documents import parse_json, parse_json_object
from engine.api.exchange import MULTIPLEXED_STREAM, RAW_STREAM, Answer, Hijack, Request, reply
from engine.api.filters import read_filters
from engine.api.router import Route
from engine.api.streams import byte_stream, frames, json_lines
from engine.builder.entitlements import ENTITLEMENTS, HOST_NETWORK, INSECURE
from engine.builder.orders import Line, NamedContext, Order
from engine.builder.usage import MOUNT, STEP, Choice
from engine.domain.errors import InvalidArgument, NotSupported
from engine.images.references import Reference
from engine.images.registry.credentials import Credentials
from engine.services.as_of import parse_time_us

_NUMBERS = {
    "memory": "Memory", "memswap": "MemorySwap", "cpushares": "CpuShares", "cpuperiod": "CpuPeriod",
    "cpuquota": "CpuQuota", "shmsize": "ShmSize",
}  # fmt: skip
_UNSUPPORTED = {
    "squash": "--squash is not supported: use a stage that copies from another",
    "outputs": "outputs are not supported: they are BuildKit's",
    "securityopt": "--security-opt is not supported for builds: RUN has the isolation of every container",
    "isolation": "--isolation is not supported: it is for Windows",
    "session": "sessions are not supported: set DOCKER_BUILDKIT=0",
}  # fmt: skip
_AGENTS = "x-docket-agents"
_OUTPUTS = ("", "tar", "oci")
_SECRETS_LIMIT_BYTES = 512 * 1024
_KEPT_LINES = 1000


def build(services: Any, request: Request) -> Answer:
    """The context is the body. Docket's clients ask for lines of our own (``docket=1``), send secrets in a header, so
    that they stand in no query and no log, and may want an archive (``output=tar|oci``): then the answer is Docker's
    multiplexed stream, the archive as standard output and the lines as standard error."""
    order = _order(request)
    lines = services.builds.build(request.body, order, request.departed, request.context)
    if order.output:
        return byte_stream(frames(lines), MULTIPLEXED_STREAM)
    if request.flag("docket"):
        return json_lines(lines, lines)
    return json_lines(_quiet(_dockers(lines)) if request.flag("q") else _dockers(lines), lines)


def _dockers(lines: Iterator[Line]) -> Iterator[Line]:
    for line in lines:
        if "docket" not in line:
            yield {key: value for key, value in line.items() if key not in ("step", "output")}


def _quiet(lines: Iterator[Line]) -> Iterator[Line]:
    """The image's id alone; what was said before only where the build fails."""
    kept: collections.deque[Line] = collections.deque(maxlen=_KEPT_LINES)
    for line in lines:
        if "error" in line:
            yield from [*kept, line]
        elif "aux" in line:
            yield {"stream": f"{line['aux']['ID']}\n"}
            kept.clear()
        else:
            kept.append(line)


def _order(request: Request) -> Order:
    for name, reason in _UNSUPPORTED.items():
        if request.text(name) not in ("", "0", "false", "null", "[]", "default"):
            raise NotSupported(reason)
    if request.text("version") == "2":
        raise NotSupported("BuildKit's protocol is not supported: set DOCKER_BUILDKIT=0")
    if request.text("output") not in _OUTPUTS:
        raise NotSupported(f"output {request.text('output')!r} is not supported: use tar or oci")
    return Order(
        references=tuple(dict.fromkeys(_reference(text) for text in request.texts("t"))),
        dockerfile=_dockerfile(request.text("dockerfile") or "Dockerfile"),
        arguments=_arguments(request),
        labels=_texts(request, "labels"),
        target=request.text("target"),
        no_cache=request.flag("nocache"),
        pull=request.flag("pull"),
        keep_containers=request.text("rm") in ("0", "false") and not request.flag("forcerm"),
        platform=request.text("platform").lower(),
        host=_host(request),
        secrets=_secrets(request),
        credentials=_credentials(request),
        source=_shown(request.text("remote")),
        remote=request.text("remote"),
        output=request.text("output"),
        cache_from=_cache_from(request),
        contexts=_contexts(request),
        agents=request.headers.get(_AGENTS, ""),
        entitlements=_entitlements(request),
        privileged=request.flag("privileged"),
    )


def _reference(text: str) -> str:
    parsed = Reference.parse(text)
    if parsed.digest:
        raise InvalidArgument("build tag cannot contain a digest")
    return parsed.normalized


def _cache_from(request: Request) -> tuple[str, ...]:
    """Names of images, as a JSON list."""
    text = request.text("cachefrom")
    names = parse_json(text) or [] if text else []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidArgument("cachefrom must be a list of images")
    for name in names:
        Reference.parse(name)
    return tuple(names)


def _entitlements(request: Request) -> frozenset[str]:
    """What the client allows; what it asks for itself, for all steps, it allows as well."""
    found = set(request.texts("allow"))
    if unknown := sorted(found - ENTITLEMENTS):
        raise InvalidArgument(f"unknown entitlement {unknown[0][:100]!r}: use {' or '.join(sorted(ENTITLEMENTS))}")
    found |= {INSECURE} if request.flag("privileged") else set()
    return frozenset(found | ({HOST_NETWORK} if request.text("networkmode") == "host" else set()))


def _contexts(request: Request) -> dict[str, NamedContext]:
    """Named contexts: ``docker-image://NAME``, or ``folder:`` and a path in the archive that is sent."""
    found = {}
    for name, text in _texts(request, "contexts").items():
        kind, _, rest = text.partition(":")
        if kind == "docker-image" and rest.startswith("//"):
            found[name] = NamedContext(image=Reference.parse(rest.removeprefix("//")).familiar)
        elif kind == "folder" and rest and not request.text("remote"):
            found[name] = NamedContext(place=rest)
        else:
            raise InvalidArgument(f"named context {name}: {text!r} is neither docker-image://NAME nor a folder of ours")
    return found


def _shown(url: str) -> str:
    """Without user and password: it goes on record."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else url


def _dockerfile(text: str) -> str:
    parts = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidArgument(f"Forbidden path outside the build context: {text}")
    return "/".join(parts)


def _object(request: Request, name: str) -> dict[str, Any]:
    text = request.text(name)
    return parse_json_object(text) if text and text != "null" else {}


def _texts(request: Request, name: str) -> dict[str, str]:
    found = _object(request, name)
    if not all(isinstance(value, str) for value in found.values()):
        raise InvalidArgument(f"{name} must be an object of strings")
    return found


def _arguments(request: Request) -> dict[str, str]:
    """``null`` is an argument that the client has no value for: as if it weren't given."""
    found = {name: value for name, value in _object(request, "buildargs").items() if value is not None}
    if not all(isinstance(value, str) for value in found.values()):
        raise InvalidArgument("buildargs must be an object of strings")
    return found


def _host(request: Request) -> dict[str, Any]:
    host: dict[str, Any] = {field: number for name, field in _NUMBERS.items() if (number := request.number(name))}
    for name, field in (("cpusetcpus", "CpusetCpus"), ("cpusetmems", "CpusetMems"), ("cgroupparent", "CgroupParent")):
        if request.text(name):
            host[field] = request.text(name)
    mode = request.text("networkmode")
    if mode and mode != "default":
        host["NetworkMode"] = mode
    if hosts := request.text("extrahosts"):
        host["ExtraHosts"] = [entry for entry in hosts.replace("\n", ",").split(",") if entry]
    if ulimits := request.text("ulimits"):
        host["Ulimits"] = parse_json(ulimits) or []
    return host


def _secrets(request: Request) -> Mapping[str, bytes]:
    text = request.headers.get("x-docket-secrets", "")
    if len(text) > _SECRETS_LIMIT_BYTES:
        raise InvalidArgument("the secrets are too large")
    try:
        found = parse_json_object(base64.b64decode(text, validate=True)) if text else {}
        return {name: base64.b64decode(value, validate=True) for name, value in found.items()}
    except (binascii.Error, TypeError) as error:
        raise InvalidArgument("the secrets are malformed") from error


def _credentials(request: Request) -> Any:
    """Of X-Registry-Config: by the registry's address, with or without scheme and path."""
    text = request.headers.get("x-registry-config", "")
    if not text:
        return lambda registry: Credentials()
    try:
        found = parse_json_object(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("X-Registry-Config is malformed") from error

    def of(registry: str) -> Credentials:
        for address, values in found.items():
            host = address.split("://")[-1].partition("/")[0]
            if host == registry or registry == "docker.io" and host in ("index.docker.io", "registry-1.docker.io"):
                return Credentials.from_json(values)
        return Credentials()

    return of


def prune(services: Any, request: Request) -> Answer:
    for name in ("max-used-space", "min-free-space"):
        if request.text(name) not in ("", "0"):
            raise NotSupported(f"{name} is not supported: use keep-storage")
    filters = read_filters(request, ("until", "unused-for", "id", "type", "label", "label!"))
    if filters.get("label"):  # `docket system prune --filter label=...` asks everybody; what is cached here has none
        return reply({"CachesDeleted": None, "SpaceReclaimed": 0})
    moments = [parse_time_us(value, request.now_us) for name in ("until", "unused-for") for value in filters.get(name)]
    kinds = tuple(filters.get("type")) or (STEP, MOUNT)
    if unknown := sorted(set(kinds) - {STEP, MOUNT}):
        raise InvalidArgument(f"invalid filter 'type={unknown[0]}': use {STEP} or {MOUNT}")
    keep = request.number("keep-storage") or request.number("reserved-space")
    ids = tuple(id.removeprefix("sha256:") for id in filters.get("id"))
    choice = Choice(min(moments) if moments else None, keep, ids, kinds)
    forgotten, freed = services.builds.prune(choice, request.context)
    return reply({"CachesDeleted": forgotten or None, "SpaceReclaimed": freed})


def agent(services: Any, request: Request) -> Answer:
    """A connection that the client keeps ready for a build, for a step that wants to ask an agent of its: see
    ``builder.agents``."""
    word, name = request.headers.get(_AGENTS, ""), request.text("id")
    if not word or not name:
        raise InvalidArgument(f"an agent has an id, and the build's word in {_AGENTS}")

    def take(fd: int, early: bytes, send_head: Callable[[], None]) -> None:
        services.builds.agents.serve(word, name, socket.socket(fileno=fd), send_head)

    return Hijack(take, False, RAW_STREAM)


ROUTES: tuple[Route, ...] = (
    ("POST", "/build", build), ("POST", "/build/prune", prune), ("POST", "/docket/build/agent", agent),
)
