"""The client on a real socket: bodies of every kind, kept-alive connections, versions, and a daemon that misbehaves."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cli.fake_engine import UPGRADED, Asked, FakeEngine, answer, chunked, frame, refusal
from engine.client import APIError, Client, ClientError, EngineUnreachable
from engine.client.address import parse_address
from engine.client.api import path_of, query_of
from engine.client.errors import ProtocolError
from engine.client.framing import FrameReader
from support.waiting import eventually


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("unix:///run/x.sock", "unix:///run/x.sock"),
        ("tcp://1.2.3.4:99", "tcp://1.2.3.4:99"),
        ("tcp://name", "tcp://name:2375"),
        ("[::1]:99", "tcp://::1:99"),
        ("[::1]", "tcp://::1:2375"),
        ("ssh://host", "ssh://host"),
        ("ssh://me@host:2222", "ssh://me@host:2222"),
        ("ssh://me@host/srv/docket.sock", "ssh://me@host/srv/docket.sock"),
    ],
)
def test_addresses(host: str, shown: str) -> None:
    assert str(parse_address(host)) == shown


@pytest.mark.parametrize(
    "host",
    ["", "unix://", "unix://relative", "tcp://", "tcp://h:0", "tcp://h:x", "ftp://x", "tcp://a/b", "ssh://",
     "ssh://a:0", "ssh://-oProxyCommand=x", "ssh://-x@host", "ssh://me:secret@host"],
)
def test_addresses_that_are_none(host: str) -> None:
    with pytest.raises(ClientError, match="is not an address"):
        parse_address(host)


def test_paths_and_queries_are_quoted() -> None:
    assert path_of("containers", "a/b c?#é", "json") == "/containers/a/b%20c%3F%23%C3%A9/json"
    assert query_of({"a": True, "b": False, "c": None, "d": "x&y=z/%", "e": {"k": ["v"]}, "f": 0}) == (
        "?a=1&d=x%26y%3Dz%2F%25&e=%7B%22k%22:%5B%22v%22%5D%7D&f=0"
    )
    assert query_of([("x", 1), ("x", 2)]) == "?x=1&x=2"
    assert query_of({"a": None}) == ""


def test_an_empty_name_asks_nobody() -> None:
    with pytest.raises(APIError):
        path_of("containers", "", "json")


def test_a_connection_serves_request_after_request(fake: FakeEngine) -> None:
    fake.on["GET /a"] = chunked(b'{"x"', b':"', b'y"}')
    fake.on["POST /b"] = lambda asked, client: answer(asked.json)
    fake.on["POST /c"] = answer(status=204)
    with Client(fake.host) as client:
        assert client.call("GET", "/a") == {"x": "y"}
        assert client.call("POST", "/b", {"é": [1, None, True, 0.5]}) == {"é": [1, None, True, 0.5]}
        assert client.call("POST", "/c") is None
        assert client.call("GET", "/a", query={"n": "1 2"}) == {"x": "y"}
    assert fake.connections == 1
    assert fake.asked[0].target == "/v1.47/a" and fake.asked[3].target == "/v1.47/a?n=1%202"
    assert fake.asked[0].headers["user-agent"].startswith("docket-python/")


def test_a_connection_that_the_daemon_closed_is_replaced(fake: FakeEngine) -> None:
    closing: list[socket.socket] = []

    def script(asked: Asked, client: socket.socket) -> bytes:
        closing.append(client)
        return answer({"n": len(closing)})

    fake.on["POST /a"] = script
    with Client(fake.host) as client:
        assert client.call("POST", "/a") == {"n": 1}
        closing[0].shutdown(socket.SHUT_RDWR)
        eventually(lambda: not client._idle or not client._idle.is_usable())
        assert client.call("POST", "/a") == {"n": 2}
    assert fake.connections == 2


def test_refusals_carry_status_and_message(fake: FakeEngine) -> None:
    fake.on["GET /a"] = refusal(409, "name is in use")
    fake.on["GET /b"] = b"HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\nouch"
    fake.on["GET /c"] = answer(status=503)
    with Client(fake.host) as client:
        for path, status, message in (
            ("/a", 409, "name is in use"), ("/b", 500, "ouch"), ("/c", 503, "the daemon answered with status 503"),
        ):  # fmt: skip
            with pytest.raises(APIError) as raised:
                client.call("GET", path)
            assert (raised.value.status, str(raised.value)) == (status, message)
    assert fake.connections == 1


def test_an_older_engine_says_which_version_it_takes(fake: FakeEngine) -> None:
    def script(asked: Asked, client: socket.socket) -> bytes:
        if asked.target.startswith("/v1.41/"):
            return answer({"ok": True})
        return refusal(400, "client version 1.47 is too new. Maximum supported API version is 1.41")

    fake.on["GET /info"] = script
    with Client(fake.host) as client:
        assert client.call("GET", "/info") == {"ok": True}
        assert client.call("GET", "/info") == {"ok": True}
        assert client.version == "1.41"
    assert [one.target for one in fake.asked] == ["/v1.47/info", "/v1.41/info", "/v1.41/info"]


def test_docket_s_own_endpoints_have_no_version(fake: FakeEngine) -> None:
    fake.on["GET /docket/audit/head"] = answer({"seq": 1})
    with Client(fake.host) as client:
        client.call("GET", "/docket/audit/head")
    assert fake.asked[0].target == "/docket/audit/head"


@pytest.mark.parametrize("offered", ["1.41", "1.50"])
def test_an_upload_is_sent_once_so_the_version_is_asked_for_first(fake: FakeEngine, offered: str) -> None:
    fake.on["HEAD /_ping"] = answer(headers=f"Api-Version: {offered}\r\n")
    fake.on["POST /images/load"] = lambda asked, client: chunked(b'{"stream":"' + asked.body[:3] + b'"}\n')
    with Client(fake.host) as client:
        response = client.stream("POST", "/images/load", upload=[b"abc", b"", b"d" * 100_000])
        assert list(response.lines()) == [b'{"stream":"abc"}']
        response.close()
    assert [one.target for one in fake.asked] == ["/_ping", f"/v{min(offered, '1.47')}/images/load"]
    assert fake.asked[1].body == b"abc" + b"d" * 100_000


def test_an_engine_that_refuses_an_upload_halfway_is_heard(fake: FakeEngine) -> None:
    def script(asked: Asked, client: socket.socket) -> None:
        raise AssertionError("never reached: the body is not read")

    def refuse_early(client: socket.socket) -> None:
        with client:
            while b"\r\n\r\n" not in client.recv(65536, socket.MSG_PEEK):
                pass
            client.recv(65536)
            client.sendall(refusal(507, "no space left"))
            client.shutdown(socket.SHUT_WR)

    fake._serve = refuse_early  # type: ignore[method-assign]
    with Client(fake.host, version="1.47") as client, pytest.raises(APIError, match="no space left"):
        client.stream("POST", "/images/load", upload=(b"x" * 65536 for _ in range(1000)))


def test_lines_may_be_split_anywhere(fake: FakeEngine) -> None:
    fake.on["GET /events"] = chunked(b'{"a":', b'1}\n{"a":2}', b"\n\n", b'{"a":3}\r\n{"a":4}')
    with Client(fake.host) as client:
        response = client.stream("GET", "/events")
        assert list(response.lines()) == [b'{"a":1}', b'{"a":2}', b'{"a":3}', b'{"a":4}']


def test_a_hijacked_connection_keeps_bytes_that_came_early(fake: FakeEngine) -> None:
    def script(asked: Asked, client: socket.socket) -> None:
        client.sendall(UPGRADED + b"early")
        client.sendall(b"-late" + client.recv(100))

    fake.on["POST /containers/x/attach"] = script
    with Client(fake.host) as client:
        response = client.hijack("/containers/x/attach", query={"stream": True})
        connection = response.connection
        connection.send(b"-typed")
        received = b""
        while piece := connection.receive(3):
            received += piece
        assert received == b"early-late-typed"
        connection.close()
    asked = fake.asked[0]
    assert (asked.headers["upgrade"], asked.headers["connection"], asked.body) == ("tcp", "Upgrade", b"")


MISBEHAVIOUR = {
    "says nothing": b"",
    "speaks something else": b"SSH-2.0-OpenSSH\r\n",
    "stops in the head": b"HTTP/1.1 200 OK\r\nContent-",
    "stops in the body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123",
    "stops in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
    "chunk size in words": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\n",
    "a line without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X%d: 1\r\n" % n for n in range(2000)),
    "not JSON": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{x}",
}


@pytest.mark.parametrize("case", MISBEHAVIOUR)
def test_a_daemon_that_misbehaves_is_one_error_line(fake: FakeEngine, case: str) -> None:
    def script(asked: Asked, client: socket.socket) -> None:
        try:
            client.sendall(MISBEHAVIOUR[case])
        except OSError:
            return

    fake.on["GET /a"] = script
    with Client(fake.host) as client, pytest.raises(ProtocolError) as raised:
        client.call("GET", "/a")
    assert "\n" not in str(raised.value)


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachable, match="Cannot connect to the Docket daemon at unix://.*Is the docket daemon"):
        Client(f"unix://{tmp_path}/none.sock").call("GET", "/info")


def test_a_socket_deep_down(tmp_path: Path) -> None:
    """sun_path takes 108 bytes; folders may be deeper."""
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    here = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"/proc/self/fd/{here}/s")
        os.close(here)
        listener.listen()
        Client(f"unix://{folder}/s")._connection(own=True).close()


def test_frames_may_be_cut_anywhere() -> None:
    stream = frame(1, b"out") + frame(2, b"err") + frame(1, b"") + frame(1, b"more" * 1000)
    for size in (1, 3, 7, 8, 9, 5000):
        reader, found = FrameReader(), {1: b"", 2: b""}
        for at in range(0, len(stream), size):
            for number, payload in reader.feed(stream[at : at + size]):
                found[number] += payload
        assert found == {1: b"out" + b"more" * 1000, 2: b"err"}


def test_a_frame_of_no_known_stream() -> None:
    with pytest.raises(ProtocolError, match="unrecognized stream: 72"):
        list(FrameReader().feed(b"HTTP/1.1 200 OK"))


def test_run_for_scripts(fake: FakeEngine) -> None:
    started: list[bool] = []

    def attach(asked: Asked, client: socket.socket) -> None:
        client.sendall(UPGRADED)
        eventually(lambda: started)
        client.sendall(frame(1, b"hi\n") + frame(2, b"oh\n"))

    fake.on["POST /containers/create"] = answer({"Id": "3f"}, 201)
    fake.on["POST /containers/3f/attach"] = attach
    fake.on["POST /containers/3f/start"] = lambda asked, client: started.append(True) or answer(status=204)
    fake.on["POST /containers/3f/wait"] = answer({"StatusCode": 7})
    fake.on["DELETE /containers/3f"] = answer(status=204)
    with Client(fake.host) as client:
        outcome = client.run("base", ["echo", "hi"], name="x", host_config={"Memory": 1})
    assert (outcome.id, outcome.status, outcome.stdout, outcome.stderr) == ("3f", 7, b"hi\n", b"oh\n")
    assert fake.asked[0].json["HostConfig"] == {"Memory": 1} and fake.asked[0].query == "name=x"
    assert fake.requests()[-1] == "DELETE /containers/3f"


def test_events_for_scripts(fake: FakeEngine) -> None:
    fake.on["GET /events"] = chunked(b'{"Action":"start"}\n{"Action":"die"}\n')
    with Client(fake.host) as client:
        assert [event["Action"] for event in client.events(since="1700000000", filters={"type": ["container"]})] == [
            "start", "die",
        ]  # fmt: skip
    assert fake.asked[0].query == "since=1700000000&filters=%7B%22type%22:%5B%22container%22%5D%7D"
