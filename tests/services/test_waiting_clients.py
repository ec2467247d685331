"""Clients that wait for the start of their container, and those that have left before it."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from engine.eventlog.log import Context
from engine.runtime.attachment import Attachment
from engine.services.waiting_clients import WaitingClients

CONTEXT = Context({"door": "test"}, "request", "request")


def client() -> tuple[socket.socket, Attachment]:
    its, ours = socket.socketpair()
    return its, Attachment(ours.detach(), True, True, True, True)


def test_the_descriptors_of_who_has_left_are_not_kept() -> None:
    nobody: Any = None
    waiting = WaitingClients(nobody)
    leaves, left = client()
    stays, half = client()
    waiting.add("web", left, CONTEXT)
    waiting.add("web", half, CONTEXT)
    waiting.add("db", client_that_left := client()[1], CONTEXT)
    leaves.close()
    stays.shutdown(socket.SHUT_WR)
    last, whole = client()
    with stays, last:
        waiting.add("web", whole, CONTEXT)
        for gone in (left, client_that_left):
            with pytest.raises(OSError):
                os.fstat(gone.fd)
        assert waiting.take("web") == [half, whole] and waiting.take("db") == []
        for one in (half, whole):
            os.close(one.fd)
