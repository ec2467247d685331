"""The files that resolvers read: whole after every change, though only what has changed is read from the log."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.errors import NotFound
from engine.services import name_files
from engine.services.name_files import NameFiles
from support.waiting import eventually


class Log:
    """Rows of networks, endpoints and containers; counts how often one is asked for."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Any] = {("network", "n1"): SimpleNamespace(name="app")}
        self.asked = 0

    def attach(
        self, number: int, *, name: str = "", network: str = "n1", status: str = "attached", hostname: str | None = ""
    ) -> None:
        """``hostname`` None: its configuration has been redacted."""
        container, endpoint = f"c{number}" + "0" * 62, f"e{number}"
        self.rows["container", container] = SimpleNamespace(
            id=container, name=name or f"web{number}", config_digest=hostname
        )
        self.rows["endpoint", endpoint] = SimpleNamespace(
            network_id=network, container_id=container, addresses=[f"10.9.0.{number}"], aliases=["Web"], status=status
        )

    def get(self, noun: str, identifier: str) -> Any:
        self.asked += 1
        return self.rows.get((noun, identifier))

    @staticmethod
    def document(digest: str | None) -> bytes:
        if digest is None:
            raise NotFound("document has been redacted")
        return json.dumps({"Config": {"Hostname": digest}}).encode()

    def endpoints_of_network(self, network: str) -> list[str]:
        return [key for (noun, key), row in self.rows.items() if noun == "endpoint" and row.network_id == network]


def made(tmp_path: Path) -> tuple[Log, NameFiles]:
    log = Log()
    core: Any = SimpleNamespace(log=log, run_dir=tmp_path)
    return log, NameFiles(core)


def test_every_change_is_in_the_file(tmp_path: Path) -> None:
    log, files = made(tmp_path)

    def names() -> dict[str, list[str]]:
        return json.loads(files.path("n1").read_text())["names"]

    for number in (2, 3, 4):
        log.attach(number)
    files.write("n1", ["e2"])  # the first time all are read
    assert names()["web"] == ["10.9.0.2", "10.9.0.3", "10.9.0.4"] and names()["web3"] == ["10.9.0.3"]
    assert names()["c30000000000"] == ["10.9.0.3"]
    log.attach(3, name="store")
    files.write("n1", ["e3"])
    assert "web3" not in names() and names()["store"] == ["10.9.0.3"]
    log.attach(2, status="detaching")
    del log.rows["endpoint", "e4"]
    log.attach(5, network="n2")
    files.write("n1", ["e2", "e4", "e5"])
    assert {*names()} == {"store", "web", "c30000000000"}, "what is elsewhere, or leaves, is not in it"
    assert json.loads(files.path("n1").read_text())["addresses"] == {"10.9.0.3": "store.app"}
    files.forget("n1")
    assert not files.path("n1").exists()


def test_a_container_is_found_by_its_host_name(tmp_path: Path) -> None:
    log, files = made(tmp_path)
    log.attach(2, hostname="Kafka.example")
    log.attach(3, hostname=None)
    files.write("n1")
    known = json.loads(files.path("n1").read_text())
    assert known["names"]["kafka.example"] == ["10.9.0.2"] and known["names"]["web3"] == ["10.9.0.3"]
    assert known["addresses"]["10.9.0.2"] == "web2.app"


def test_one_of_hundreds_costs_as_much_as_one_of_two(tmp_path: Path) -> None:
    log, files = made(tmp_path)
    for number in range(200):
        log.attach(number)
    files.write("n1")
    log.asked = 0
    files.write("n1", ["e7"])
    assert log.asked == 3, "network, endpoint, container"


@pytest.mark.parametrize("fails", [False, True])
def test_changes_at_the_same_moment_share_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """One writes for all who wait; where that fails, the next one does it."""
    log, files = made(tmp_path)
    files.write("n1")
    written: list[set[str]] = []

    def replace(path: Path, value: Any) -> None:
        written.append({name for name in value["names"] if name.startswith("web") and name != "web"})
        if fails and len(written) == 1:
            raise OSError("no space")

    monkeypatch.setattr(name_files, "_replace", replace)
    errors: list[OSError] = []

    def write(number: int) -> None:
        try:
            files.write("n1", [f"e{number}"])
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(5)]
    with files._lock:
        for number, thread in enumerate(threads):
            log.attach(number)
            thread.start()
        eventually(lambda: len(files._waiting.get("n1", ())) == 5, what="all of them wait")
    for thread in threads:
        thread.join()
    every = {f"web{number}" for number in range(5)}
    assert written == ([every, every] if fails else [every]) and len(errors) == fails
