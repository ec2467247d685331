"""Hostile and broken HTTP: bounded, unambiguous, and never anybody else's problem."""

from __future__ import annotations

import gzip
import json
import random
import re
import socket
import threading
import time
from typing import Callable

import pytest

from engine.api import wire
from support.waiting import eventually

from .harness import Api, read_to_end, read_until

HOST = b"Host: d\r\n"
PING = b"GET /_ping HTTP/1.1\r\n" + HOST + b"\r\n"
LAST_PING = b"GET /_ping HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


def statuses_of(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def status_of(answer: bytes) -> int:
    return statuses_of(answer)[0]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /_ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\nHost: d\n\n\r\n\r\n", 400),
        (b"GET /_ping\r\n\r\n", 400),
        (b"GET  /_ping HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"G\x00T /_ping HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET _ping HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /_ping#x HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /_ping HTTP/2.0\r\nHost: d\r\n\r\n", 505),
        (b"GET /_ping HTTP/1.1\r\nHost: d\r\nHost: e\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost : d\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost: d\r\n folded: x\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\nC: d\r\n\r\n", 400),
        (b"GET /_ping HTTP/1.1\r\nHost: d\r\nA: b\x00\r\n\r\n", 400),
        (b"GET /containers/%zz/json HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /containers/%00/json HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /containers/%ff/json HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /containers/../json HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /volumes/%2e%2e HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /images/a/%2e%2e/%2e%2e/b/json HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Length: 2, 2\r\n\r\n{}", 400),
        (b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Length: +2\r\n\r\n{}", 400),
        (b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Length: -1\r\n\r\n{}", 400),
        (
            b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n",
            400,
        ),
        (b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501),
        (b"POST /volumes/create HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        (b"GET /_ping HTTP/1.1\r\nHost: d\r\nX: " + b"a" * wire.HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET /_ping HTTP/1.1\r\nHost: d\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET /_ping?" + b"a" * wire.TARGET_BYTES + b" HTTP/1.1\r\nHost: d\r\n\r\n", 414),
    ],
)
def test_a_broken_head_is_refused_and_ends_the_connection(
    api: Api, ok: Callable[[], None], request_bytes: bytes, status: int
) -> None:
    answer = api.send(request_bytes + PING)
    assert statuses_of(answer) == [status], "nothing after a broken request may be served"
    assert b"Connection: close" in answer
    ok()


@pytest.mark.parametrize("framing", [b"zz\r\n", b"-1\r\n", b"0x5\r\n", b"5\r\nabcdeXX0\r\n\r\n", b"1" * 40 + b"\r\n"])
def test_broken_chunks_are_refused(api: Api, ok: Callable[[], None], framing: bytes) -> None:
    head = b"POST /volumes/create HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    answer = api.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + framing + PING)
    assert statuses_of(answer) == [400]
    ok()


def test_chunks_extensions_and_trailers_are_read(api: Api) -> None:
    body = b'9;a=b\r\n{"Name":"\r\n4\r\nvol"\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n'
    head = b"POST /volumes/create HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    answer = api.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + body + LAST_PING)
    assert status_of(answer) == 201
    assert answer.endswith(b"OK"), "the request behind the chunked one is served"
    assert "vol" in api.services.log.states["volume"]


@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_body_is_on_record_whole(api: Api, chunked: bool) -> None:
    """T20: what is recorded is what is done, also of bodies that others cut at a mebibyte."""
    text = "x" * (2 << 20) + "the end"
    body = json.dumps({"Image": "base", "Labels": {"long": text}}).encode()
    head = b"POST /containers/create?name=web HTTP/1.1\r\nContent-Type: application/json\r\n" + HOST
    if chunked:
        pieces = [body[at : at + 100_000] for at in range(0, len(body), 100_000)]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        request = head + b"Transfer-Encoding: chunked\r\n\r\n" + framed
    else:
        request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert status_of(api.send(request + LAST_PING)) == 201
    (record,) = [one for one in api.services.log.records if one.stream.startswith("container/")]
    assert record.event.labels == {"long": text}


@pytest.mark.parametrize("body", [b"", gzip.compress(b'{"Image": "base"}')])
def test_a_body_that_cannot_be_read_creates_nothing(api: Api, body: bytes) -> None:
    head = b"POST /containers/create HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n" + HOST
    answer = api.send(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
    assert status_of(answer) == 400
    assert not api.services.log.states["container"]


def test_pipelined_requests_are_answered_in_order(api: Api) -> None:
    answer = api.send(PING + b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n" + LAST_PING)
    assert statuses_of(answer) == [200, 404, 200]


def test_http_1_0_closes_after_the_answer(api: Api) -> None:
    answer = api.send(b"GET /_ping HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nOK") and b"Connection: close" in answer


def test_a_client_may_wait_for_permission_to_send(api: Api) -> None:
    with api.dial() as sock:
        sock.sendall(b"POST /images/create?fromSrc=- HTTP/1.1\r\n" + HOST)
        sock.sendall(b"Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert read_until(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"data")
        assert status_of(read_to_end(sock)) == 200
    assert api.services.archives.received == [b"data"]


def test_permission_is_not_given_where_the_answer_is_no(api: Api) -> None:
    with api.dial() as sock:
        sock.sendall(b"POST /images/create?fromSrc=http://x HTTP/1.1\r\n" + HOST)
        sock.sendall(b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        answer = read_to_end(sock)
    assert status_of(answer) == 501 and b"100 Continue" not in answer


def test_an_unwanted_body_does_not_become_the_next_request(api: Api) -> None:
    inner = b"DELETE /volumes/x HTTP/1.1\r\n" + HOST + b"\r\n"
    head = b"POST /nothing HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(inner)
    answer = api.send(head + inner + LAST_PING)
    assert statuses_of(answer) == [404, 200] and answer.endswith(b"OK")


def test_a_short_unwanted_body_of_unknown_length_is_taken_in_before_the_answer(api: Api) -> None:
    """A client written in Go breaks its body off, and says so, when the answer comes first; and it wants to go on."""
    body = b"5\r\nhello\r\n0\r\n\r\n"
    head = b"POST /nothing HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = api.send(head + body + LAST_PING)
    assert statuses_of(answer) == [404, 200] and answer.endswith(b"OK")


def test_a_long_unwanted_body_of_unknown_length_ends_the_connection(api: Api) -> None:
    head = b"POST /nothing HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    answer = api.send(head + chunk * 20 + b"0\r\n\r\n" + LAST_PING)
    assert statuses_of(answer) == [404] and b"Connection: close" in answer


def test_an_enormous_document_is_refused(api: Api, ok: Callable[[], None]) -> None:
    head = b"POST /containers/create HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    answer = api.send(head + b"Content-Length: 99999999999\r\n\r\n")
    assert status_of(answer) == 400 and b"larger than" in answer
    ok()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        b'{"a":NaN}',
        b'{"a":"\\u0000"}',
        b'{"a":"\\ud800"}',
        b'{"a":' + b"9" * 5000 + b"}",
        b"{",
        b"[]",
        b"\xff",
        b"",
    ],
)
def test_json_bombs_are_bad_requests(api: Api, body: bytes) -> None:
    answer = api.ask("POST", "/volumes/create", body, Content_Type="application/json")
    assert answer.status == 400
    assert answer.message
    assert api.ask("GET", "/_ping").body == b"OK", "the connection goes on"


def test_a_backslash_u_that_is_text_is_kept(api: Api) -> None:
    answer = api.ask("POST", "/volumes/create", {"Name": "v", "Labels": {"a": "printf \\u0000"}})
    assert answer.status == 201 and answer.json["Labels"] == {"a": "printf \\u0000"}


def test_deep_but_narrow_json_is_measured_outside_of_strings(api: Api) -> None:
    answer = api.ask("POST", "/volumes/create", {"Name": "v", "Labels": {"a": '"[{\\' * 200}})
    assert answer.status == 201


def test_a_body_needs_its_content_type(api: Api) -> None:
    assert api.ask("POST", "/volumes/create", b"{}", Content_Type="text/plain").status == 400


def test_headers_that_drip_are_cut_off(api: Api, ok: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "HEAD_S", 0.3)
    with api.dial() as sock:
        began = time.monotonic()
        sock.sendall(b"GET /_ping HTTP/1.1\r\n")
        drip = threading.Event()

        def keep_dripping() -> None:
            while not drip.wait(0.05):
                try:
                    sock.sendall(b"A: b\r\n")
                except OSError:
                    return  # cut off, as it should be

        thread = threading.Thread(target=keep_dripping)
        thread.start()
        try:
            answer = read_until(sock, b"\r\n\r\n")
        finally:
            drip.set()
            thread.join()
        assert status_of(answer) == 408
        assert time.monotonic() - began < 5
    ok()


def test_an_idle_connection_is_closed_in_the_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "IDLE_S", 0.1)
    with api.dial() as sock:
        assert read_to_end(sock) == b""


def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(api: Api, ok: Callable[[], None]) -> None:
    with api.dial() as sock:
        sock.sendall(b"POST /images/load HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\nabc")
    eventually(lambda: not api.server.connection_count, what="the connection's thread ends")
    assert api.services.archives.received == []
    ok()


def test_stuck_clients_block_nobody(api: Api, ok: Callable[[], None]) -> None:
    api.run()
    api.services.containers.output = [("stdout", b"x" * 60_000)] * 100
    stuck = [api.dial() for _ in range(50)]
    try:
        for sock in stuck[:25]:
            sock.sendall(b"GET /containers/web/logs?stdout=1 HTTP/1.1\r\n" + HOST + b"\r\n")
        for sock in stuck[25:]:
            sock.sendall(b"POST /volumes/create HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n{")
        began = time.monotonic()
        for _ in range(10):
            ok()
        assert time.monotonic() - began < 5
    finally:
        for sock in stuck:
            sock.close()
    eventually(lambda: api.server.connection_count == 1, what="all threads but that of the test's connection end")


def test_too_many_connections_are_told_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.server.CONNECTIONS", 2)
    held = [api.dial(), api.dial()]
    try:
        eventually(lambda: api.server.connection_count == 2)
        with api.dial() as sock:
            answer = read_to_end(sock)
        assert status_of(answer) == 503
    finally:
        for sock in held:
            sock.close()
    eventually(lambda: not api.server.connection_count)


def test_nothing_that_is_sent_takes_the_server_down(
    api: Api, ok: Callable[[], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """Requests with bytes changed, cut, repeated and swapped: an answer or a closed connection, and no defect."""
    api.run(OpenStdin=True)
    dice = random.Random(29)
    seeds = [
        b"POST /v1.47/containers/create?name=x HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
        b'Content-Length: 16\r\n\r\n{"Image":"base"}',
        b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
        b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"Name":\r\n6\r\n"data"\r\n1\r\n}\r\n0\r\n\r\n',
        b"POST /containers/web/attach?stream=0&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\n"
        b"Upgrade: tcp\r\n\r\nearly",
        b'GET /v1.41/containers/json?all=1&filters={"name":["^/?w.*$"]} HTTP/1.1\r\nHost: d\r\n\r\n',
        b"GET /containers/web/logs?stdout=1&tail=3 HTTP/1.1\r\nHost: d\r\n\r\n",
        b"POST /images/load HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    ]
    for _ in range(600):
        mutant = bytearray(dice.choice(seeds))
        for _ in range(dice.randrange(1, 6)):
            place = dice.randrange(len(mutant))
            match dice.randrange(4):
                case 0:
                    mutant[place] = dice.randrange(256)
                case 1:
                    del mutant[place : place + dice.randrange(1, 20)]
                case 2:
                    mutant[place:place] = mutant[: dice.randrange(60)]
                case 3:
                    mutant[place:place] = dice.choice([b"\r\n", b"\0", b"%", b"Content-Length: 9\r\n", b"[" * 99])
            mutant = mutant or bytearray(b"\r\n")
        with api.dial() as sock:
            try:
                sock.sendall(mutant)
                sock.shutdown(socket.SHUT_WR)
                read_to_end(sock)
            except ConnectionError:
                continue  # cut off in the middle: that, too, is an answer
    ok()
    eventually(lambda: api.server.connection_count == 1)
    assert "Traceback" not in capfd.readouterr().err
