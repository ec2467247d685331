"""What a crowd of clients leaves behind when it goes."""

from __future__ import annotations

import pytest

from engine.api import server
from support.waiting import eventually

from .harness import Api


def test_memory_is_given_back_once_a_crowd_has_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(server, "CROWD", 16)
    monkeypatch.setattr(server.allocator, "give_back", lambda: left.append(api.server.connection_count))
    few = [api.dial() for _ in range(15)]
    eventually(lambda: api.server.connection_count == 15)
    for client in few:
        client.close()
    eventually(lambda: api.server.connection_count == 0)
    assert not left, "that was no crowd"
    many = [api.dial() for _ in range(24)]
    eventually(lambda: api.server.connection_count == 24)
    for client in many[:20]:
        client.close()
    eventually(lambda: api.server.connection_count == 4)
    assert not left, "there are some yet"
    for client in many[20:]:
        client.close()
    eventually(lambda: api.server.connection_count == 0)
    eventually(lambda: len(left) == 1, what="it is given back once")
