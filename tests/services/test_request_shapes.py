"""Request bodies: every field of Docker's description has its type here, and another type is refused by its name."""

from __future__ import annotations

import json
from typing import Any, Iterator

import pytest

from engine.domain.errors import InvalidArgument
from engine.services import request_shapes
from support.sources import REPOSITORY

DEFINITIONS = json.loads((REPOSITORY / "tests/support/docker-api-1.47.json").read_text())["definitions"]
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
ELSEWHERE = {
    "Cmd", "Entrypoint",  # a text or a list
    "Healthcheck",  # services.health_config
    "ConsoleSize", "ArgsEscaped", "CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth",  # Windows' alone
    "DeviceRequests", "KernelMemoryTCP",  # refused, or obsolete, whatever they say
}


def fields(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and schemas of a definition's properties, those that it includes as well."""
    schema = DEFINITIONS[name]
    for part in (schema, *schema.get("allOf", ())):
        yield from fields(part["$ref"].rpartition("/")[2]) if "$ref" in part else part.get("properties", {}).items()


@pytest.mark.parametrize(
    ("name", "shape"),
    [("ContainerConfig", request_shapes.CONTAINER), ("HostConfig", request_shapes.CONTAINER["HostConfig"])],
)
def test_every_field_has_the_type_that_docker_gives_it(name: str, shape: dict[str, Any]) -> None:
    for field, schema in fields(name):
        if field in ELSEWHERE:
            continue
        schema = DEFINITIONS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        own = shape[field] if isinstance(shape[field], type) else type(shape[field])
        assert own is TYPES[schema["type"]], field


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"StopTimeout": "5"}, "StopTimeout must be an integer, not '5'"), ({"Tty": 1}, "Tty must be true or false"),
        ({"HostConfig": {"Memory": 2**63}}, "HostConfig.Memory is beyond 64 bits"),
        ({"HostConfig": {"Binds": "/a:/b"}}, "HostConfig.Binds must be a list"),
        ({"HostConfig": {"Binds": ["/a:/b", None]}}, "null no element"),
        ({"HostConfig": {"Binds": ["/a\0:/b"]}}, "Binds[0] holds a NUL character"),
        ({"HostConfig": {"Ulimits": [{"Name": "nofile", "Soft": "x"}]}}, "Ulimits[0].Soft must be an integer"),
        ({"HostConfig": {"Sysctls": {"a": None}}}, "Sysctls.a must be a string, not null"),
        ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": 80}]}}}, "80/tcp[0].HostPort must be a string"),
        ({"HostConfig": [1]}, "HostConfig must be an object"), ({"Volumes": []}, "Volumes must be an object"),
    ],
)  # fmt: skip
def test_another_type_is_refused_by_its_name(body: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        request_shapes.check(body, request_shapes.CONTAINER)
    assert words in str(refused.value)


def test_what_is_left_out_or_unknown_is_not_looked_at() -> None:
    host = {"Binds": None, "PortBindings": {"80/tcp": None}, "ConsoleSize": [1, 2], "Later": object()}
    networking = {"EndpointsConfig": {"mine": None, "other": {"Aliases": ["a"]}}}
    request_shapes.check({"HostConfig": host, "NetworkingConfig": networking}, request_shapes.CONTAINER)
