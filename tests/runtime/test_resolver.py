"""The resolver and the carriers of ports in a shim's loop, against clients that mean harm. No container is needed."""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import pytest

from engine.runtime import resolver as resolvers
from engine.runtime.dns_message import parse_query
from engine.runtime.loop import Loop
from engine.runtime.port_proxy import PortProxies
from engine.runtime.resolver import Resolver

QUESTION = b"\3web\0\0\1\0\1"


def header(*, flags: int = 0x100, questions: int = 1, answers: int = 0, additional: int = 0) -> bytes:
    return struct.pack(">HHHHHH", 7, flags, questions, answers, 0, additional)


PLAIN = header() + QUESTION


def write(path: Path, value: object) -> None:
    path.with_suffix(".new").write_text(json.dumps(value))
    path.with_suffix(".new").rename(path)


class Shim:
    """As much of a shim as these need: its loop, turned by hand."""

    def __init__(self, folder: Path, servers: list[str]) -> None:
        self.folder = folder
        self.know({"web": ["10.9.0.5"]})
        settings = {"networks": [{"file": str(folder / "names.json"), "internal": False}], "servers": servers}
        write(folder / "resolver.json", settings)
        self.loop = Loop()
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.create_server(("127.0.0.1", 0))
        udp.bind(("127.0.0.1", 0))
        for sock in (udp, tcp):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.udp, self.tcp = udp.getsockname(), tcp.getsockname()
        self.resolver = Resolver(self.loop, [udp.detach(), tcp.detach()], str(folder / "resolver.json"))

    def know(self, names: dict[str, list[str]]) -> None:
        addresses = {address: f"{name}.app" for name, found in names.items() for address in found}
        write(self.folder / "names.json", {"network": "app", "names": names, "addresses": addresses})

    def turn(self, times: int = 20) -> None:
        turn(self.loop, times)

    def ask(self, message: bytes) -> bytes:
        """The answer over UDP; b"" where there is none."""
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.sendto(message, self.udp)
            self.turn(3)
            client.setblocking(False)
            try:
                return client.recv(4096)
            except BlockingIOError:
                return b""


def turn(loop: Loop, times: int) -> None:
    for _ in range(times):
        loop.later(0.005, lambda: None)
        loop.turn()


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Shim]:
    made = Shim(tmp_path, [])
    yield made
    made.resolver.close()


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


HOSTILE = {
    "nothing": b"",
    "a header alone": header(),
    "no question": header(questions=0) + QUESTION,
    "two questions": header(questions=2) + QUESTION * 2,
    "an answer": header(flags=0x8100) + QUESTION,
    "answers in a question": header(answers=1) + QUESTION,
    "a pointer to itself": header() + b"\xc0\x0c\0\1\0\1",
    "a label past the end": header() + b"\x3fweb\0\0\1\0\1",
    "a name without an end": header() + b"\1a" * 40,
    "a name that is too long": header() + b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1",
    "a question cut short": header() + b"\3web\0\0",
}
ODD = {
    "class CHAOS is passed on, and there is nobody to ask": (header() + b"\3web\0\0\1\0\3", 2),
    "an update is not understood": (header(flags=0x2800) + QUESTION, 4),
    "bytes that are no text": (header() + b"\2\xff\xfe\0\0\1\0\1", 2),
    "an additional record that is cut short": (header(additional=1) + QUESTION + b"\0\0", 0),
    "a reverse name of nonsense": (header() + b"\1x\7in-addr\4arpa\0\0\x0c\0\1", 2),
    "a reverse name with far too many labels": (header() + b"\1f" * 34 + b"\3ip6\4arpa\0\0\x0c\0\1", 2),
    "the root": (header() + b"\0\0\1\0\1", 2),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_question_gets_no_answer(shim: Shim, name: str) -> None:
    assert shim.ask(HOSTILE[name]) == b""
    assert shim.ask(PLAIN)[-4:] == socket.inet_aton("10.9.0.5")


@pytest.mark.parametrize("name", ODD)
def test_odd_questions_get_a_code(shim: Shim, name: str) -> None:
    message, code = ODD[name]
    assert shim.ask(message)[3] & 0xF == code


def test_a_neighbour_with_a_name_that_no_answer_can_hold(shim: Shim) -> None:
    """A container's name may have any length; who asks for it back must not pay for that."""
    reverse = header() + b"\x018\x010\x019\x0210\7in-addr\4arpa\0\0\x0c\0\1"
    for name in ("a" * 63, "a" * 64, "a" * 300, ".".join(["a" * 60] * 5)):
        shim.know({name: ["10.9.0.8"]})
        assert shim.ask(reverse)[3] & 0xF == (0 if name == "a" * 63 else 2), name


def test_a_defect_in_what_is_known_is_a_failure_of_the_question_alone(
    shim: Shim, capsys: pytest.CaptureFixture[str]
) -> None:
    write(shim.folder / "names.json", {"network": "app", "names": {"web": ["no address"]}})
    assert shim.ask(PLAIN)[3] & 0xF == 2 and "the resolver: OSError" in capsys.readouterr().err
    shim.know({"web": ["10.9.0.5"]})
    assert shim.ask(PLAIN)[-4:] == socket.inet_aton("10.9.0.5")


def test_the_name_of_a_link_may_be_followed_by_the_networks(shim: Shim) -> None:
    network = {"file": str(shim.folder / "names.json"), "internal": False, "links": {"db": "web"}}
    write(shim.folder / "resolver.json", {"networks": [network], "servers": []})
    for name in (b"\2db\0", b"\2DB\3app\0"):
        assert shim.ask(header() + name + b"\0\1\0\1")[-4:] == socket.inet_aton("10.9.0.5"), name
    assert shim.ask(header() + b"\2db\5other\0\0\1\0\1")[3] & 0xF == 2


def test_answers_follow_the_files_at_once(shim: Shim) -> None:
    def answers() -> set[str]:
        found = set()
        for _ in range(30):
            reply = shim.ask(PLAIN)
            if reply[6:8] != b"\0\0":
                found.add(socket.inet_ntoa(reply[-4:]))
        return found

    many = [f"10.9.0.{number}" for number in range(1, 4)]
    for names in ({"web": ["10.9.0.6"]}, {"web": many}, {}, {"web": ["10.9.0.7"]}):
        shim.know(names)
        assert answers() == set(names.get("web", ())), "all of several addresses come first in their turn"
    (shim.folder / "names.json").unlink()
    assert answers() == set()
    assert shim.ask(header() + b"\3WEB\3app\0\0\1\0\1")[3] & 0xF == 2


def test_who_never_reads_answers_is_not_listened_to_any_more(shim: Shim) -> None:
    with socket.socket() as client:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            client.setsockopt(socket.SOL_SOCKET, option, 4096)
        client.connect(shim.tcp)
        client.setblocking(False)
        framed = struct.pack(">H", len(PLAIN)) + PLAIN
        asked = bytearray()
        for _ in range(150):
            try:
                sent = client.send((framed * 2000)[len(asked) % len(framed) :])
                asked += bytes(sent)
            except BlockingIOError:
                pass
            shim.turn(1)
        (connection,) = shim.resolver._connections
        assert len(connection._waiting) <= 2 * resolvers._MOST_UNREAD_BYTES
        answers = 0
        whole = len(asked) // len(framed)
        size = len(framed) + 16
        for _ in range(2000):
            shim.turn(1)
            try:
                while data := client.recv(1 << 20):
                    answers += len(data)
            except BlockingIOError:
                pass
            if answers >= whole * size:
                break
        assert answers // size == whole, "what was held back is answered when there is room"


def test_without_descriptors_questions_are_answered_with_a_failure(tmp_path: Path) -> None:
    shim = Shim(tmp_path, ["127.0.0.1", "::1"])
    replies: list[bytes] = []
    message = header() + b"\7example\3com\0\0\1\0\1"
    query = parse_query(message)
    assert query is not None
    with no_more_descriptors():
        for tcp in (False, True):
            shim.resolver.serve(query, message, replies.append, tcp=tcp)
    assert [reply[3] & 0xF for reply in replies] == [2, 2]
    shim.resolver.close()


def test_without_descriptors_a_listener_rests(shim: Shim) -> None:
    with socket.create_connection(shim.tcp):
        with no_more_descriptors():
            shim.turn(3)
            assert not shim.resolver._connections
        shim.turn(60)
        assert len(shim.resolver._connections) == 1


def test_many_questions_wait_and_their_timers_cost_nothing(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        shim = Shim(tmp_path, ["127.0.0.1"])
        replies: list[bytes] = []
        message = header() + b"\7example\3com\0\0\1\0\1"
        query = parse_query(message)
        assert query is not None
        port, resolvers._SERVER_PORT = resolvers._SERVER_PORT, silent.getsockname()[1]
        try:
            for _ in range(resolvers._MOST_WAITING + 5):
                shim.resolver.serve(query, message, replies.append)
        finally:
            resolvers._SERVER_PORT = port
        assert [reply[3] & 0xF for reply in replies] == [2] * 5
        shim.resolver.close()


# --- ports -----------------------------------------------------------------------------------------------------------


def proxies(loop: Loop, kind: int, protocol: str, port: int) -> tuple[PortProxies, int]:
    held = socket.socket(socket.AF_INET6, kind)
    held.bind(("::1", 0))
    number = held.getsockname()[1]
    listener = {"protocol": protocol, "target": "127.0.0.1", "port": port}
    return PortProxies(loop, [held.detach()], [listener]), number


@pytest.fixture
def loop() -> Loop:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("kernel has no IPv6")
    return Loop()


def test_datagrams_are_carried_and_answers_find_their_way(loop: Loop) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        carried, number = proxies(loop, socket.SOCK_DGRAM, "udp", server.getsockname()[1])
        clients = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(80)]
        for order, client in enumerate(clients):
            client.connect(("::1", number))
            client.send(b"%d" % order)
        turn(loop, 5)
        for _ in clients:
            data, source = server.recvfrom(100)
            server.sendto(data * 2, source)
        turn(loop, 5)
        answered = 0
        for order, client in enumerate(clients):
            client.setblocking(False)
            try:
                assert client.recv(100) == b"%d" % order * 2
                answered += 1
            except BlockingIOError:
                assert order < 16, "only the first ones have made way"
            client.close()
        assert answered == 64
        carried.close()


@pytest.mark.parametrize("how", ["limit", "descriptors"])
def test_more_connections_than_there_can_be_wait(loop: Loop, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.runtime.port_proxy._MOST_CONNECTIONS", 2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        carried, number = proxies(loop, socket.SOCK_STREAM, "tcp", server.getsockname()[1])
        clients = [socket.create_connection(("::1", number)) for _ in range(3)]
        if how == "descriptors":
            with no_more_descriptors():
                turn(loop, 3)
            turn(loop, 60)
        turn(loop, 5)
        assert len(carried._connections) == 2
        clients[0].close()
        far = [server.accept()[0] for _ in range(2)]
        for sock in far:
            sock.close()
        turn(loop, 20)
        assert len(carried._connections) >= 1
        carried.close()
        for sock in clients:
            sock.close()


@pytest.mark.parametrize("order", [[3, 1, 2], [1, 1, 1]])
def test_timers_run_in_their_order(order: list[int]) -> None:
    loop, ran = Loop(), []
    action: Callable[[int], Callable[[], None]] = lambda number: lambda: ran.append(number)
    for number in order:
        loop.later(number / 200, action(number))
    turn(loop, 6)
    assert ran == sorted(order)


def test_over_tcp_the_next_server_gets_the_whole_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the one before has taken it, and ends without an answer."""
    question = header() + b"\3far\0\0\1\0\1"
    framed = struct.pack(">H", len(question)) + question
    with socket.create_server(("127.0.0.2", 0)) as first:
        port = first.getsockname()[1]
        monkeypatch.setattr(resolvers, "_SERVER_PORT", port)
        shim = Shim(tmp_path, ["127.0.0.2", "127.0.0.3"])
        with socket.create_server(("127.0.0.3", port)) as second, socket.create_connection(shim.tcp) as client:
            client.sendall(framed)
            for server in (first, second):
                shim.turn(3)
                asked, _ = server.accept()
                with asked:
                    asked.settimeout(1)
                    shim.turn(3)
                    assert asked.recv(4096) == framed
        shim.resolver.close()
