"""Attaching over a websocket: the handshake and the frames of RFC 6455, both ways."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from engine.api.websocket import Frames, Refused, accept_of, frame
from engine.domain.errors import InvalidArgument
from support.waiting import eventually

from .harness import Api, read_until

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    b"Host: d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
)
MASK = b"\x01\x02\x03\x04"


def masked(kind: int, payload: bytes) -> bytes:
    """A client's frame."""
    plain = frame(kind, payload)
    head = len(plain) - len(payload)
    mixed = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return plain[:1] + bytes((plain[1] | 0x80,)) + plain[2:head] + MASK + mixed


def test_the_example_of_the_rfc() -> None:
    headers = {"upgrade": "WebSocket", "sec-websocket-version": "13", "sec-websocket-key": KEY.decode()}
    assert accept_of(headers) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    for missing in headers:
        with pytest.raises(InvalidArgument, match="version 13"):
            accept_of({name: value for name, value in headers.items() if name != missing})


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 20])
def test_frames_of_every_size_in_pieces(size: int) -> None:
    payload, frames, found = os.urandom(size), Frames(), []
    text = masked(2, payload) + masked(9, b"x")
    for at in range(0, len(text), 50_001):
        found += frames.feed(text[at : at + 50_001])
    assert found == [(2, payload), (9, b"x")]


@pytest.mark.parametrize(
    "text", [frame(2, b"without a mask"), b"\xf2\x80", masked(8, b"x" * 126), b"\x82\xff" + b"\x7f" * 8]
)
def test_what_is_no_frame_ends_it(text: bytes) -> None:
    with pytest.raises(Refused):
        list(Frames().feed(text))


def dial(api: Api, query: str, more: bytes = b"") -> socket.socket:
    sock = api.dial()
    head = b"GET /v1.47/containers/web/attach/ws?%b HTTP/1.1\r\n%b%b\r\n\r\n" % (query.encode(), HANDSHAKE, KEY)
    sock.sendall(head + more)
    head = read_until(sock, b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ") and b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    return sock


def handed(api: Api) -> Any:
    return eventually(lambda: api.services.containers.attachments and api.services.containers.attachments[-1])


def test_both_directions_and_the_ends(api: Api) -> None:
    api.create(OpenStdin=True)
    with dial(api, "stream=1&stdin=1&stdout=1", masked(1, b"early ")) as sock:
        attachment = handed(api)
        assert (attachment.stdin, attachment.stdout, attachment.stderr, attachment.framed) == (True, True, False, False)
        sock.sendall(masked(9, b"are you there") + masked(2, b"typed"))
        assert read_until(sock, b"there") == frame(10, b"are you there")
        typed = b""
        while len(typed) < 11:
            typed += os.read(attachment.fd, 100)
        assert typed == b"early typed"
        os.write(attachment.fd, b"said")
        assert read_until(sock, b"said") == frame(2, b"said")
        os.close(attachment.fd)
        assert read_until(sock, b"\x03\xe8") == frame(8, b"\x03\xe8")
        assert sock.recv(1) == b""


def test_who_says_goodbye_or_nonsense_is_let_go(api: Api) -> None:
    api.create(OpenStdin=True)
    for last, code in ((masked(8, b""), b"\x03\xe8"), (b"\x82\x01x", b"\x03\xea")):
        with dial(api, "stream=1&stdin=1") as sock:
            attachment = handed(api)
            sock.sendall(last)
            assert read_until(sock, code) == frame(8, code)
            assert os.read(attachment.fd, 10) == b"", "the container's side sees that it has left"
            os.close(attachment.fd)
        api.services.containers.attachments.clear()


def test_earlier_output_alone(api: Api) -> None:
    api.create()
    with dial(api, "logs=1&stdout=1&stderr=1") as sock:
        whole = read_until(sock, b"\x03\xe8")
        assert b"out\n" in whole and b"err\n" in whole and whole.endswith(frame(8, b"\x03\xe8"))
