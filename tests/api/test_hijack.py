"""Attach and exec: the connection is handed over whole, with its early bytes, and HTTP lets go of it."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from engine.domain.errors import Conflict, InvalidArgument
from support.waiting import eventually

from .harness import Api, read_to_end, read_until

UPGRADE = b"Host: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
JSON = b"Content-Type: application/json\r\n"


def attach(api: Api, query: str, headers: bytes = UPGRADE, early: bytes = b"") -> tuple[socket.socket, bytes]:
    sock = api.dial()
    sock.sendall(b"POST /v1.47/containers/web/attach?%b HTTP/1.1\r\n%b\r\n%b" % (query.encode(), headers, early))
    return sock, read_until(sock, b"\r\n\r\n")


def handed(api: Api) -> Any:
    return eventually(lambda: api.services.containers.attachments and api.services.containers.attachments[-1])


def test_attach_hands_the_connection_over(api: Api) -> None:
    api.create(OpenStdin=True)
    sock, head = attach(api, "stream=1&stdin=1&stdout=1&stderr=1", early=b"typed ahead")
    with sock:
        assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
        assert b"Connection: Upgrade\r\nUpgrade: tcp\r\n" in head
        assert b"Content-Type: application/vnd.docker.multiplexed-stream\r\n" in head
        attachment = handed(api)
        assert (attachment.stdin, attachment.stdout, attachment.stderr) == (True, True, True)
        assert attachment.framed and attachment.early == b"typed ahead" and attachment.detach_keys == b""
        eventually(lambda: api.server.connection_count == 1, what="the server's thread lets go")
        assert os.get_blocking(attachment.fd)
        os.write(attachment.fd, b"from the shim")
        assert sock.recv(100) == b"from the shim"
        sock.sendall(b"to the shim")
        assert os.read(attachment.fd, 100) == b"to the shim"
        sock.shutdown(socket.SHUT_WR)
        assert os.read(attachment.fd, 100) == b""
        os.write(attachment.fd, b"last words")
        os.close(attachment.fd)
        assert read_to_end(sock) == b"last words"


def test_a_stopping_server_leaves_hijacked_connections_alone(api: Api) -> None:
    api.create()
    sock, _ = attach(api, "stream=1&stdout=1")
    with sock:
        attachment = handed(api)
        api.server.stop()
        os.write(attachment.fd, b"still here")
        assert sock.recv(100) == b"still here"
        os.close(attachment.fd)


def test_attach_without_upgrade_answers_200(api: Api) -> None:
    api.create(Tty=True)
    sock, head = attach(api, "stream=1&stdout=1&stdin=1&detachKeys=ctrl-a,x", headers=b"Host: d\r\n")
    with sock:
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Type: application/vnd.docker.raw-stream\r\n" in head
        attachment = handed(api)
        assert not attachment.framed and attachment.detach_keys == b"\x01x"
        assert not attachment.stdin, "the container has no open standard input"
        os.close(attachment.fd)
        assert read_to_end(sock) == b""


def test_the_log_is_replayed_where_no_stream_is_wanted(api: Api) -> None:
    api.create()
    sock, _ = attach(api, "logs=1&stdout=1&stderr=1")
    with sock:
        assert read_to_end(sock) == b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n"
    assert api.services.containers.attachments == []


@pytest.mark.parametrize(
    ("query", "status"), [("stream=1&detachKeys=ctrl-1", b"400"), ("stream=1&detachKeys=xx", b"400")]
)
def test_attach_is_refused_with_a_status(api: Api, query: str, status: bytes) -> None:
    api.create()
    sock, head = attach(api, query)
    with sock:
        assert head.split(b" ")[1] == status


def test_a_paused_container_cannot_be_attached_to(api: Api) -> None:
    api.run()
    api.ask("POST", "/containers/web/pause")
    sock, head = attach(api, "stream=1")
    with sock:
        assert b" 409 " in head
    assert api.ask("POST", "/containers/nope/attach?stream=1").status == 404


def test_an_error_after_the_head_is_written_into_the_stream(api: Api) -> None:
    api.create()
    api.services.containers.attach_error = Conflict("the shim is gone")
    sock, _ = attach(api, "stream=1&stdout=1")
    with sock:
        assert read_to_end(sock) == b"\x02\0\0\0\0\0\0\x12the shim is gone\r\n"


def create_exec(api: Api, **body: Any) -> str:
    answer = api.ask("POST", "/containers/web/exec", {"Cmd": ["echo", "hi"], "AttachStdout": True, **body})
    assert answer.status == 201, answer.body
    return answer.json["Id"]


def start_exec(api: Api, exec_id: str, body: bytes, early: bytes = b"") -> tuple[socket.socket, bytes, bytes]:
    sock = api.dial()
    length = b"Content-Length: %d\r\n" % len(body)
    sock.sendall(
        b"POST /v1.47/exec/%b/start HTTP/1.1\r\n%b%b%b\r\n%b%b" % (exec_id.encode(), UPGRADE, JSON, length, body, early)
    )
    whole = read_to_end(sock)
    head, _, stream = whole.partition(b"\r\n\r\n")
    return sock, head, stream


def test_exec_over_the_connection(api: Api) -> None:
    api.run()
    exec_id = create_exec(api, AttachStdin=True)
    sock, head, stream = start_exec(api, exec_id, b'{"Detach":false}', early=b"typed")
    sock.close()
    assert head.startswith(b"HTTP/1.1 101 UPGRADED")
    assert stream == b"\x01\0\0\0\0\0\0\x0bearly:typed", "the body was read to its end and not a byte further"
    shown = api.ask("GET", f"/exec/{exec_id}/json").json
    assert shown == {
        "ID": exec_id, "Running": False, "ExitCode": 0,
        "ProcessConfig": {"tty": False, "entrypoint": "echo", "arguments": ["hi"], "privileged": False},
        "OpenStdin": True, "OpenStderr": False, "OpenStdout": True, "CanRemove": False, "ContainerID": "01" * 32,
        "DetachKeys": "", "Pid": 0,
    }  # fmt: skip


def test_exec_detached(api: Api) -> None:
    api.run()
    exec_id = create_exec(api)
    answer = api.ask("POST", f"/exec/{exec_id}/start", {"Detach": True})
    assert (answer.status, answer.body) == (200, b"")
    again = api.ask("POST", f"/exec/{exec_id}/start", {"Detach": True})
    assert again.status == 409 and "has already run" in again.message


def test_exec_in_a_terminal(api: Api) -> None:
    api.run()
    exec_id = create_exec(api, Tty=True)
    sock, head, stream = start_exec(api, exec_id, b'{"Tty":true,"ConsoleSize":[24,80]}')
    sock.close()
    assert stream == b"hi\n" and b"raw-stream" in head
    assert eventually(lambda: api.services.execs.resized) == [(exec_id, 24, 80)]
    assert api.ask("POST", f"/exec/{exec_id}/resize?h=1&w=2").status == 200


def test_exec_errors(api: Api) -> None:
    api.create()
    assert api.ask("POST", "/containers/web/exec", {"Cmd": ["x"]}).status == 409, "it does not run"
    api.ask("POST", "/containers/web/start")
    assert api.ask("POST", "/containers/web/exec", {}).message == "No exec command specified"
    assert api.ask("POST", "/containers/web/exec", {"Cmd": ["x"], "DetachKeys": "ctrl-1"}).status == 400
    assert api.ask("GET", "/exec/abc/json").message == "No such exec instance: abc"
    assert api.ask("POST", "/exec/abc/start", {}).status == 404
    exec_id = create_exec(api)
    assert api.ask("POST", f"/exec/{exec_id}/start", {"ConsoleSize": [1]}).status == 400


def test_an_exec_that_cannot_start_says_so_in_the_stream(api: Api) -> None:
    api.run()
    exec_id = create_exec(api)
    api.services.execs.start_error = InvalidArgument("no such command")
    sock, _, stream = start_exec(api, exec_id, b"{}")
    sock.close()
    assert stream == b"\x02\0\0\0\0\0\0\x11no such command\r\n"


def test_random_bytes_after_an_upgrade_reach_only_the_stream(api: Api) -> None:
    """An upgrade followed by what looks like a request must not be served as one."""
    api.create(OpenStdin=True)
    sock, _ = attach(api, "stream=1&stdin=1", early=b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n")
    with sock:
        attachment = handed(api)
        assert attachment.early.startswith(b"GET /info")
        os.close(attachment.fd)
        assert read_to_end(sock) == b""
