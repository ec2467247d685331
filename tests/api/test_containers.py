"""Containers over HTTP: Docker's statuses, shapes and words."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

from engine.api.filters import Filters
from engine.api.routes.container_filters import ContainerFilter
from engine.api.views import containers as views
from engine.domain.errors import EngineError
from support.connection import UnixConnection, ask
from support.engine import base_config
from support.waiting import eventually

from .fakes.images import IMAGE_ID
from .harness import Api, read_until


def filtered(api: Api, path: str, **filters: Any) -> Any:
    mark = "&" if "?" in path else "?"
    return api.ask("GET", f"{path}{mark}filters={quote(json.dumps(filters))}")


def names(api: Api, query: str = "?all=1", **filters: Any) -> list[str]:
    answer = filtered(api, "/containers/json" + query, **filters)
    assert answer.status == 200, answer.body
    return [entry["Names"][0].removeprefix("/") for entry in answer.json]


def test_create_answers_with_id_and_warnings(api: Api) -> None:
    answer = api.ask("POST", "/containers/create?name=web", {"Image": "base"})
    assert answer.status == 201
    assert answer.json == {"Id": "01" * 32, "Warnings": ["a warning"]}


def test_create_errors(api: Api) -> None:
    assert api.ask("POST", "/containers/create", {"Image": "nope"}).message == "No such image: nope"
    api.create("web")
    assert api.ask("POST", "/containers/create?name=web", {"Image": "base"}).status == 409
    assert api.ask("POST", "/containers/create?platform=windows", {"Image": "base"}).status == 501


def test_a_life(api: Api) -> None:
    api.create("web")
    for verb, status in [
        ("start", 204), ("start", 304), ("pause", 204), ("unpause", 204), ("stop?t=1", 204), ("stop", 304),
        ("restart", 204), ("restart?t=0", 204), ("kill?signal=HUP", 204), ("rename?name=new", 204),
    ]:  # fmt: skip
        assert api.ask("POST", f"/containers/web/{verb}").status == status, verb
    assert api.ask("DELETE", "/containers/new").status == 409
    assert api.ask("DELETE", "/containers/new?force=1").status == 204
    answer = api.ask("DELETE", "/containers/new")
    assert (answer.status, answer.message) == (404, "No such container: new")


def test_a_start_takes_no_configuration(api: Api) -> None:
    api.create("web")
    assert api.ask("POST", "/containers/web/start", {"Binds": ["/:/host"]}).status == 400
    assert api.ask("POST", "/containers/web/start", {}).status == 204


def test_not_modified_has_no_body_and_the_connection_goes_on(api: Api) -> None:
    api.run()
    answer = api.ask("POST", "/containers/web/start")
    assert (answer.status, answer.body) == (304, b"")
    assert api.ask("GET", "/_ping").body == b"OK"


@pytest.mark.parametrize(("code", "status"), [(127, 400), (126, 400), (128, 500)])
def test_a_command_that_cannot_be_run_is_the_clients_mistake(api: Api, code: int, status: int) -> None:
    class LaunchFailed(EngineError):
        exit_code = code

    def fail(ref: str, context: Any) -> None:
        raise LaunchFailed('exec: "nope": executable file not found in $PATH')

    api.services.lifecycle.start = fail  # type: ignore[method-assign]
    api.create()
    answer = api.ask("POST", "/containers/web/start")
    assert answer.status == status and "executable file not found" in answer.message


def test_the_list_entry(api: Api) -> None:
    api.run(Cmd=["sh", "-c", "echo a b"], Labels={"a": "b"}, HostConfig={"Binds": ["data:/data"]})
    (entry,) = api.ask("GET", "/containers/json").json
    assert list(entry) == [
        "Id", "Names", "Image", "ImageID", "Command", "Created", "Ports", "Labels", "State", "Status", "HostConfig",
        "NetworkSettings", "Mounts",
    ]  # fmt: skip
    assert entry["Names"] == ["/web"] and entry["Image"] == "base" and entry["ImageID"] == IMAGE_ID
    assert entry["Command"] == "sh -c 'echo a b'"
    assert entry["Ports"] == [] and entry["Labels"] == {"a": "b"}
    assert (entry["State"], entry["Status"]) == ("running", "Up 2 seconds")
    assert entry["HostConfig"] == {"NetworkMode": "none"}
    assert list(entry["NetworkSettings"]["Networks"]) == ["none"]
    assert entry["Mounts"][0]["Name"] == "data"
    with_size = api.ask("GET", "/containers/json?size=1").json[0]
    assert (with_size["SizeRw"], with_size["SizeRootFs"]) == (5, 1005)


def test_status_words_follow_the_life(api: Api) -> None:
    api.create("web")

    def status() -> tuple[str, str]:
        (entry,) = api.ask("GET", "/containers/json?all=1").json
        return entry["State"], entry["Status"]

    assert status() == ("created", "Created")
    api.ask("POST", "/containers/web/start")
    api.services.log.now_us += 200_000_000
    assert status() == ("running", "Up 3 minutes")
    api.ask("POST", "/containers/web/pause")
    assert status() == ("paused", "Up 3 minutes (Paused)")
    api.services.lifecycle.end("web", 137)
    api.services.log.now_us += 7200_000_000
    assert status() == ("exited", "Exited (137) 2 hours ago")


def test_the_list_shows_the_running_newest_first_up_to_the_limit(api: Api) -> None:
    api.create("a")
    api.run("b")
    api.run("c")
    assert names(api, "") == ["c", "b"]
    assert names(api, "?all=true") == ["c", "b", "a"]
    assert names(api, "?limit=2") == ["c", "b"]
    for limit in ("x", "1_0", "9" * 5000):
        assert api.ask("GET", f"/containers/json?limit={limit}").status == 400


def test_filters(api: Api) -> None:
    first = api.create("web1", Labels={"tier": "front"}, HostConfig={"Binds": ["data:/data"]})
    api.run("web2", Labels={"tier": "back"}, HostConfig={"NetworkMode": "host"}, ExposedPorts={"80/tcp": {}})
    api.run("db", Labels={"tier": "back", "kind": "sql"})
    api.services.lifecycle.end("db", 3)
    assert names(api, "", status=["exited"]) == ["db"], "statuses are shown without all=1"
    assert names(api, status=["running", "created"]) == ["web2", "web1"]
    assert names(api, label=["tier=back"]) == ["db", "web2"]
    assert names(api, label=["tier=back", "kind"]) == ["db"]
    assert names(api, label={"tier=front": True, "kind": False}) == ["web1"], "old clients send maps"
    assert names(api, name=["web"]) == ["web2", "web1"]
    assert names(api, name=["^/?web1$", "db"]) == ["db", "web1"]
    assert names(api, id=[first[:6]]) == ["web1"]
    assert names(api, exited=["3"]) == ["db"] and names(api, exited=["0"]) == []
    assert names(api, ancestor=["base"]) == ["db", "web2", "web1"] and names(api, ancestor=["nope"]) == []
    assert names(api, before=["web2"]) == ["web1"] and names(api, since=["web2"]) == ["db"]
    assert names(api, volume=["data"]) == ["web1"] and names(api, volume=["/data"]) == ["web1"]
    assert names(api, network=["host"]) == ["web2"]
    assert names(api, expose=["80"]) == [], "web2 is on the host's network"
    assert names(api, publish=["80"]) == []
    assert names(api, health=["none"]) == ["db", "web2", "web1"] and names(api, health=["healthy"]) == []
    assert names(api, **{"is-task": ["false"]}) == ["db", "web2", "web1"]


def test_ports_are_those_of_a_network_of_its_own(api: Api) -> None:
    api.create("off", ExposedPorts={"80/tcp": {}})
    api.run("alone", ExposedPorts={"80/tcp": {}}, HostConfig={"NetworkMode": "none"})
    api.run("web", ExposedPorts={"80/tcp": {}, "90/udp": {}})
    port = {"container_port": 80, "protocol": "tcp", "host_address": "127.0.0.1", "host_port": 8080}
    endpoint = SimpleNamespace(requested=(), aliases=(), links=(), mac_address="", id="e", addresses=[], ports=[port])
    network = SimpleNamespace(name="app", id="n", subnets=(), internal=False)
    view = replace(api.services.containers.get("web"), endpoints=((endpoint, network),))
    assert views.ports(view) == {}, "it was taken off it"
    endpoint.addresses.append("10.9.0.2")
    places = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "90/udp": None}
    assert views.ports(view) == places
    for name in ("off", "alone"):
        assert views.ports(api.services.containers.get(name)) == {}
    for name, value, allowed in (
        ("expose", "80", True), ("expose", "90", False), ("expose", "81-99/udp", True), ("publish", "8080/tcp", True),
        ("publish", "80", False), ("publish", "8080/udp", False), ("publish", "8000-9000", True),
    ):  # fmt: skip
        assert ContainerFilter(api.services, Filters({name: [value]})).allows(view) is allowed, (name, value)


@pytest.mark.parametrize(
    "filters",
    [{"foo": ["x"]}, {"status": ["x"]}, {"exited": ["x"]}, {"name": ["("]}, {"name": ["(a+)+$"]}, {"name": ["a*" * 9]},
     {"name": [3]}, {"is-task": ["maybe"]}, {"expose": ["x"]}, {"publish": ["x"]}, {"publish": ["1-"], "name": ["z"]},
     {"health": ["fine"]}, {"name": "x"}],
)  # fmt: skip
def test_bad_filters_are_bad_requests(api: Api, filters: dict[str, Any]) -> None:
    api.create(ExposedPorts={"80/tcp": {}})
    answer = filtered(api, "/containers/json?all=1", **filters)
    assert answer.status == 400 and "filter" in answer.message


def test_filters_that_are_not_json(api: Api) -> None:
    assert api.ask("GET", "/containers/json?filters=xx").status == 400
    assert api.ask("GET", "/containers/json?filters=[]").status == 400
    assert filtered(api, "/containers/json", before=["nope"]).status == 404


def test_inspect(api: Api) -> None:
    container_id = api.run(Cmd=["sleep", "9"], HostConfig={"Memory": 64, "NetworkMode": "none"})
    shown = api.ask("GET", "/containers/web/json").json
    assert (shown["Id"], shown["Name"], shown["Path"], shown["Args"]) == (container_id, "/web", "sleep", ["9"])
    assert shown["Created"] == "2023-11-14T22:13:22Z"
    assert shown["State"] == {
        "Status": "running", "Running": True, "Paused": False, "Restarting": False, "OOMKilled": False, "Dead": False,
        "Pid": 4242, "ExitCode": 0, "Error": "", "StartedAt": "2023-11-14T22:13:23Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    }  # fmt: skip
    assert shown["HostConfig"]["Memory"] == 64 and shown["HostConfig"]["ShmSize"] == 67108864
    assert shown["Config"]["Hostname"] == container_id[:12] and shown["Config"]["Env"] is None
    assert shown["ExecIDs"] is None
    assert "SizeRw" not in shown
    assert api.ask("GET", "/containers/web/json?size=1").json["SizeRootFs"] == 1005
    assert api.ask("GET", f"/containers/{container_id[:12]}/json").status == 200
    assert api.ask("GET", "/containers//web/json").status == 200, "old clients put the name's slash into the path"


def test_inspect_shows_what_was_chosen_where_a_client_leaves_it_open(api: Api) -> None:
    api.run(Cmd=["true"], HostConfig={"MemorySwappiness": -1, "CgroupnsMode": "", "Devices": [], "Dns": None})
    shown = api.ask("GET", "/containers/web/json").json["HostConfig"]
    assert (shown["MemorySwappiness"], shown["CgroupnsMode"]) == (None, "private")
    assert (shown["Devices"], shown["Dns"], shown["Ulimits"]) == ([], None, None)


def test_wait_sends_its_head_at_once_and_its_body_at_the_end(api: Api) -> None:
    api.run()
    with api.dial() as sock:
        sock.sendall(b"POST /containers/web/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in read_until(sock, b"\r\n\r\n")
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
        sock.settimeout(10)
        api.services.lifecycle.end("web", 7)
        assert b'{"StatusCode":7}' in read_until(sock, b"0\r\n\r\n")
    eventually(lambda: api.services.containers.waiters[0].closed)


def test_wait_ends_when_its_client_leaves(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.routes.containers.DEPARTURE_S", 0.05)
    api.run()
    with api.dial() as sock:
        sock.sendall(b"POST /containers/web/wait HTTP/1.1\r\nHost: d\r\n\r\n")
        read_until(sock, b"\r\n\r\n")
    eventually(lambda: api.services.containers.waiters[0].closed, what="the waiter is closed")
    eventually(lambda: api.server.connection_count == 1)


def test_wait_errors_have_a_status(api: Api) -> None:
    api.create()
    assert api.ask("POST", "/containers/nope/wait").status == 404
    assert api.ask("POST", "/containers/web/wait?condition=sunday").status == 400


def test_logs_are_framed_and_chosen(api: Api) -> None:
    api.create()
    answer = api.ask("GET", "/containers/web/logs?stdout=1&stderr=1&tail=5&timestamps=1&since=3.5&until=9")
    assert answer.body == b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n"
    assert answer.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
    assert api.services.containers.log_questions[-1] == {
        "stdout": True, "stderr": True, "since_us": 3_500_000, "until_us": 9_000_000, "tail": 5, "timestamps": True,
        "details": False,
        "follow": False,
    }  # fmt: skip
    assert api.ask("GET", "/containers/web/logs?stderr=1").body == b"\x02\0\0\0\0\0\0\x04err\n"
    assert api.services.containers.log_questions[-1]["tail"] is None
    old = ask(api.connection, "GET", "/v1.41/containers/web/logs?stdout=1")
    assert old.headers["Content-Type"] == "application/vnd.docker.raw-stream"


def test_logs_of_a_terminal_are_raw(api: Api) -> None:
    api.create(Tty=True)
    assert api.ask("GET", "/containers/web/logs?stdout=1").body == b"out\n"


@pytest.mark.parametrize("query", ["", "?stdout=1&tail=x", "?stdout=1&until=x", "?stdout=1&since=yesterday"])
def test_bad_questions_for_logs(api: Api, query: str) -> None:
    api.create()
    assert api.ask("GET", f"/containers/web/logs{query}").status == 400
    assert api.ask("GET", "/containers/nope/logs?stdout=1").status == 404


def test_following_ends_when_the_client_leaves(api: Api) -> None:
    api.run()
    with api.dial() as sock:
        sock.sendall(b"GET /containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
        read_until(sock, b"out\n")
        assert api.services.containers.log_ends == []
    eventually(lambda: api.services.containers.log_ends == ["ended"], what="the service is told to stop")
    eventually(lambda: api.server.connection_count == 1)


def test_following_ends_when_the_client_shuts_its_side(api: Api) -> None:
    api.run()
    with api.dial() as sock:
        sock.sendall(b"GET /containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
        read_until(sock, b"out\n")
        sock.shutdown(socket.SHUT_WR)
        eventually(lambda: api.services.containers.log_ends == ["ended"])


def test_a_stopping_server_ends_followers(api: Api) -> None:
    api.run()
    with api.dial() as sock:
        sock.sendall(b"GET /containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
        read_until(sock, b"out\n")
        api.server.stop()
        assert api.services.containers.log_ends == ["ended"]
        assert api.server.connection_count == 0


def test_resize_and_top(api: Api) -> None:
    api.run()
    assert api.ask("POST", "/containers/web/resize?h=24&w=80").status == 200
    assert api.services.containers.resized == [("web", 24, 80)]
    for query in ("", "?h=x&w=1", "?h=-1&w=1", "?h=99999&w=1"):
        assert api.ask("POST", f"/containers/web/resize{query}").status == 400
    assert api.ask("GET", "/containers/web/top?ps_args=aux").json == {
        "Processes": [["1", "sh aux"]], "Titles": ["PID", "CMD"]
    }  # fmt: skip


def test_prune(api: Api) -> None:
    container_id = api.create("old")
    api.run("new")
    assert api.ask("POST", "/containers/prune").json == {"ContainersDeleted": [container_id], "SpaceReclaimed": 5}
    assert api.ask("POST", "/containers/prune").json == {"ContainersDeleted": None, "SpaceReclaimed": 0}
    bad = quote(json.dumps({"until": ["soon"]}))
    assert api.ask("POST", f"/containers/prune?filters={bad}").status == 400


def test_requests_say_what_they_are_for(api: Api) -> None:
    told = {"X-Docket-Correlation": "ab" * 16, "X-Docket-Cause": "shop/create/web"}
    container_id = api.ask("POST", "/containers/create?name=web", base_config("true"), **told).json["Id"]
    (made,) = api.ask("GET", f"/docket/audit/trail?id={container_id}").json
    assert (made["correlation"], made["causation"]) == ("ab" * 16, "compose:shop/create/web")
    assert api.ask("GET", "/docket/audit/trail?project=shop").json == [made]
    assert api.ask("GET", "/docket/audit/trail?project=shop&id=x").status == 400
    for header, value in (("X-Docket-Correlation", "AB" * 16), ("X-Docket-Correlation", "ab"),
                          ("X-Docket-Cause", "shop"), ("X-Docket-Cause", "shop/up/web/x")):  # fmt: skip
        assert api.ask("POST", "/containers/web/start", **{header: value}).status == 400


def test_dockets_own_paths(api: Api) -> None:
    container_id = api.run()
    assert [entry["Id"] for entry in api.ask("GET", "/docket/containers/json?all=1").json] == [container_id]
    assert api.ask("GET", "/docket/containers/json?all=1&as_of=%230").json == []
    assert "Evidence" in api.ask("GET", "/docket/containers/web/json").json
    assert api.ask("GET", "/docket/images/json?as_of=2h").json[0]["RepoTags"] == ["base:latest"]
    trail = api.ask("GET", f"/docket/audit/trail?id={container_id}").json
    assert [record["type"] for record in trail] == ["container.created", "container.starting", "container.started"]
    assert trail[0]["actor"]["door"] == "api" and trail[0]["time"].endswith("Z")
    head = api.ask("GET", "/docket/audit/head").json
    assert head["published"] == f"{head['seq']}:{head['hash']}"
    assert api.ask("GET", "/docket/audit/verify").json["ok"] is True
    assert api.ask("GET", "/docket/audit/verify?against=99:ff").json["problems"] == [{"seq": 1, "what": "cut"}]
    assert api.ask("GET", "/docket/audit/verify?against=99:ff&log-only=1").json["ok"] is True
    assert api.ask("GET", "/docket/audit/trail").status == 400
    assert api.ask("GET", "/docket/audit/trail?id=nope").status == 404
    assert api.ask("GET", "/docket/audit/trail?id=x&noun=planet").status == 400


def test_four_connections_at_once(api: Api) -> None:
    connections = [UnixConnection(api.socket_path) for _ in range(4)]
    for number, connection in enumerate(connections):
        assert ask(connection, "POST", f"/containers/create?name=n{number}", {"Image": "base"}).status == 201
    assert sorted(names(api)) == ["n0", "n1", "n2", "n3"]
    for connection in connections:
        connection.close()


def test_older_clients_find_the_short_id_among_the_aliases(api: Api) -> None:
    """docker-compose 1.29 takes a container without it for one that is to be connected anew."""
    short_id = api.create(Hostname="host")[:12]
    endpoint = SimpleNamespace(requested=(), aliases=("www",), links=(), mac_address="", addresses=(), id="e")
    network = SimpleNamespace(name="app", id="n", subnets=(), internal=False)
    view = replace(api.services.containers.get("web"), endpoints=((endpoint, network),))

    def aliases(*version: int) -> list[str]:
        return list(views.inspect(view, version)["NetworkSettings"]["Networks"]["app"]["Aliases"])

    assert aliases(1, 44) == ["www", short_id, "host"]
    assert aliases(1, 45) == ["www"]
    shown = views.inspect(view, (1, 47))["NetworkSettings"]["Networks"]["app"]
    assert shown["DNSNames"] == ["web", "www", short_id, "host"]
