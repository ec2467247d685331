"""What the tests of compose files share: files written, loaded, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from engine.compose.loader import load
from engine.compose.project import ComposeError, LoadOptions, Project

Write = Callable[..., Path]
Loaded = Callable[..., Project]
Refused = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files into the folder ``shop``, which is the current one: ``write(compose_yaml, {"name": "text"})``."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def write(compose: str, others: dict[str, str] | None = None) -> Path:
        for name, text in {"compose.yaml": compose, **(others or {})}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    return write


@pytest.fixture
def loaded(write: Write) -> Loaded:
    """The project that files come to."""

    def loaded(compose: str, others: dict[str, str] | None = None, **options: Any) -> Project:
        write(compose, others)
        options.setdefault("environment", {"HOME": "/home/user"})
        return load(LoadOptions(**options))

    return loaded


@pytest.fixture
def refused(loaded: Loaded) -> Refused:
    """The line that files are refused with."""

    def refused(compose: str, others: dict[str, str] | None = None, **options: Any) -> str:
        with pytest.raises(ComposeError) as caught:
            loaded(compose, others, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refused


@pytest.fixture
def service(loaded: Loaded) -> Callable[..., dict[str, Any]]:
    """The canonical form of one service, given by the text of its keys in flow style."""

    def service(keys: str, others: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
        return loaded(f"services: {{web: {{image: bb, {keys}}}, db: {{image: bb}}}}\n"
                      "networks: {n: , m: }\nvolumes: {data: }\nsecrets: {s: {file: ./s}}\nconfigs: {c: {file: ./c}}\n",
                      others, **options).model["services"]["web"]  # fmt: skip

    return service
