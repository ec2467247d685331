"""A registry of the tests' own, a store, and the client with little patience."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator

import pytest

from engine.images.content import ContentStore
from engine.images.references import Reference
from engine.images.registry.client import Registries, Repository
from engine.images.registry.credentials import Credentials
from engine.images.registry.settings import Patience, RegistrySettings
from support.scripted_registry import ScriptedRegistry

IMPATIENT = Patience(connect_timeout_s=20.0, stall_timeout_s=20.0, attempts=3, backoff_s=0.01, longest_wait_s=2.0)
"""With failures. A loaded machine may take its time."""


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    with ScriptedRegistry() as scripted:
        yield scripted


@pytest.fixture
def other() -> Iterator[ScriptedRegistry]:
    """Another host: what must see no credentials."""
    with ScriptedRegistry("127.0.0.2") as scripted:
        yield scripted


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "content")


@pytest.fixture
def settings(tmp_path: Path) -> RegistrySettings:
    return RegistrySettings(certificate_folders=(tmp_path / "certs.d",), patience=IMPATIENT)


@pytest.fixture
def repository(registry: ScriptedRegistry, settings: RegistrySettings) -> Iterator[Callable[..., Repository]]:
    """Makes repositories of the scripted registry, of a name in it or of a whole reference; ended with the test."""
    made: list[Repository] = []

    def make(name: str = "team/app:1", credentials: Credentials = Credentials(), **changes: object) -> Repository:
        text = name if name.startswith(("docker.io/", "localhost", "127.")) else f"{registry.address}/{name}"
        found = Registries(settings._replace(**changes)).repository(Reference.parse(text), credentials)
        made.append(found)
        return found

    yield make
    for each in made:
        each.close()
