"""Unix sockets: names that are longer than a socket's address."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.kernel import sockets


def test_a_path_of_any_length_is_bound_and_found(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    path = str(folder / "a.sock")
    before = os.listdir("/proc/self/fd")
    with sockets.new(sockets.SOCK_STREAM) as listener, sockets.new(sockets.SOCK_STREAM) as client:
        sockets.by_folder(path, listener.bind)
        listener.listen(1)
        sockets.by_folder(path, client.connect)
        served, _ = listener.accept()
        client.send(b"hello")
        assert served.recv(9) == b"hello" and os.path.exists(path)
        served.close()
    assert os.listdir("/proc/self/fd") == before


def test_a_refusal_is_the_sockets_own(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with sockets.new(sockets.SOCK_STREAM) as client, pytest.raises(FileNotFoundError):
        sockets.by_folder(str(tmp_path / "none.sock"), client.connect)
    assert os.listdir("/proc/self/fd") == before


def test_a_path_without_a_folder_is_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with sockets.new(sockets.SOCK_STREAM) as listener:
        sockets.by_folder("a.sock", listener.bind)
    assert (tmp_path / "a.sock").is_socket()
