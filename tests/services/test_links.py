"""Legacy links: what Docker tells a container of another one. The expected values are a real Docker's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.errors import EngineError, InvalidArgument
from engine.services.links import Link, LinkIndex, host_lines, variables
from engine.services.network_config import parse_link


def link(alias: str, *ports: str, env: tuple[str, ...] = (), addresses: tuple[str, ...] = ("172.17.0.2",)) -> Link:
    child: Any = SimpleNamespace(id="ab" * 32, name="db")
    config = {"Hostname": "", "Env": list(env), "ExposedPorts": {port: {} for port in ports}}
    return Link(alias, child, config, addresses)


WEB: Any = SimpleNamespace(name="web")


def test_variables_are_dockers() -> None:
    found = variables(WEB, [link("my-db", "5432/tcp", "53/udp", env=("PASS=a=b", "HOME=/root", "PATH=/bin", "ALONE"))])
    assert found == [
        "MY_DB_PORT=udp://172.17.0.2:53",
        "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
        "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
        "MY_DB_PORT_53_UDP_PORT=53",
        "MY_DB_PORT_53_UDP_PROTO=udp",
        "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
        "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
        "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_PASS=a=b",
    ]


def test_three_ports_in_a_row_have_a_beginning_and_an_end() -> None:
    found = variables(WEB, [link("db", "80/tcp", "81/tcp", "82/udp", "90/tcp", "91/tcp")])
    assert found[:7] == [
        "DB_PORT=tcp://172.17.0.2:80",
        "DB_PORT_80_TCP_START=tcp://172.17.0.2:80",
        "DB_PORT_80_TCP_ADDR=172.17.0.2",
        "DB_PORT_80_TCP_PROTO=tcp",
        "DB_PORT_80_TCP_PORT_START=80",
        "DB_PORT_80_UDP_END=udp://172.17.0.2:82",
        "DB_PORT_80_UDP_PORT_END=82",
    ]
    assert not [entry for entry in found if entry.startswith(("DB_PORT_90_TCP_START", "DB_PORT_90_TCP_END"))]


def test_without_ports_there_is_the_name() -> None:
    assert variables(WEB, [link("db")]) == ["DB_NAME=/web/db"]
    assert variables(WEB, [link("db", "80/tcp", addresses=())]) == []


def test_lines_of_hosts() -> None:
    lines = host_lines([link("d2", addresses=("172.17.0.2", "fd00::2")), link("db")])
    assert lines == [
        ("172.17.0.2", "d2 abababababab db"), ("fd00::2", "d2 abababababab db"), ("172.17.0.2", "db abababababab"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [("db", ("db", "db")), ("db:pg", ("db", "pg")), ("/db:/web/pg", ("db", "pg")), (":", None), ("", None),
     ("a:b:c", None), ("a:", None), (1, None)],
)  # fmt: skip
def test_notation(text: Any, found: tuple[str, str] | None) -> None:
    if found is not None:
        assert parse_link(text) == found
        return
    with pytest.raises(InvalidArgument, match="bad format for links"):
        parse_link(text)


def test_an_index_that_could_not_be_read_whole_is_read_again() -> None:
    parents = [SimpleNamespace(id=name, alive=True) for name in ("web", "job")]
    unreadable = {"job"}

    def settings_of(container: Any) -> dict[str, Any]:
        if container.id in unreadable:
            raise EngineError("cannot read the event log")
        return {"HostConfig": {"Links": ["db:pg"]}}

    log = SimpleNamespace(all=lambda noun: parents, get=lambda noun, id: next(one for one in parents if one.id == id))
    core: Any = SimpleNamespace(log=log, settings_of=settings_of)
    index = LinkIndex(core)
    with pytest.raises(EngineError):
        index.parents("db")
    unreadable.clear()
    assert [one.id for one in index.parents("db")] == ["job", "web"]
