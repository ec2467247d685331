"""``--storage-opt``: what it may say, and which project a container is given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.domain.errors import EngineError, InvalidArgument
from engine.kernel import project_quota
from engine.services import layer_limits
from engine.services.ports import Store
from engine.services.recorder import Recorder


@pytest.mark.parametrize(
    "text, size",
    [("10G", 10 << 30), ("512m", 512 << 20), ("1.5 kB", 1536), ("2TiB", 2 << 40), ("1p", 1 << 50), ("7", 7), ("8b", 8)],
)
def test_a_size_is_read_as_docker_does(text: str, size: int) -> None:
    assert layer_limits.size_bytes({"StorageOpt": {"size": text}}) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "big", "10x", "1.5.2g", "g", "1ib", "0.1"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid size"):
        layer_limits.size_bytes({"StorageOpt": {"size": text}})


def test_what_is_no_option() -> None:
    assert layer_limits.size_bytes({}) == layer_limits.size_bytes({"StorageOpt": None}) == 0
    with pytest.raises(InvalidArgument, match="unknown storage option: speed"):
        layer_limits.size_bytes({"StorageOpt": {"SIZE": "1g", "speed": "1"}})


@pytest.fixture
def core(tmp_path: Path) -> Any:
    """What is needed of a core: containers by their projects, a folder, a lock."""
    containers: list[SimpleNamespace] = []
    log = SimpleNamespace(all=lambda noun: containers)
    (tmp_path / "containers").mkdir()
    recorder = Recorder(log)  # type: ignore[arg-type]
    return SimpleNamespace(log=log, store=Store(tmp_path), recorder=recorder, containers=containers)


def test_a_project_is_nobody_else_s(core: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[int] = set()
    monkeypatch.setattr(project_quota, "refusal", lambda fd: "")
    monkeypatch.setattr(project_quota, "is_free", lambda fd, project: project not in used)
    host = {"StorageOpt": {"size": "1g"}}
    with layer_limits.reserved(core, host) as first:
        assert 0 < first < 1 << 32
    core.containers.append(SimpleNamespace(project=first))
    used.add(first + 1)  # by another engine, or by files that are not deleted yet
    with layer_limits.reserved(core, host) as next_:
        assert next_ == first + 2
    with layer_limits.reserved(core, {}) as none:
        assert none == 0


def test_where_there_are_no_quotas_nothing_is_made(core: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_quota, "refusal", lambda fd: "its file system is neither xfs nor ext4")
    with pytest.raises(EngineError, match="size is not possible in .*neither xfs nor ext4") as caught:
        with layer_limits.reserved(core, {"StorageOpt": {"size": "1g"}}):
            pass
    assert type(caught.value) is EngineError, "a 500, as Docker has it"
