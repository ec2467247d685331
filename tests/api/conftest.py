"""The running server that the tests of this folder speak to."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Callable, Iterator

import pytest

from support.connection import UnixConnection, ask

from .harness import Api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    running = Api(tmp_path)
    running.server.start()
    yield running
    running.connection.close()
    running.server.stop()


@pytest.fixture
def ok(api: Api) -> Callable[[], None]:
    """Asserts that the server still serves, whatever was done to it."""

    def check() -> None:
        with closing(UnixConnection(api.socket_path, timeout_s=10)) as connection:
            assert ask(connection, "GET", "/_ping").body == b"OK"

    return check
