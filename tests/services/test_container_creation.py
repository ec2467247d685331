"""What a creation needs stays there until the container is on record."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from support.image_home import CONTEXT, Home, imported

PATIENCE_S = 0.2
"""So long a prune that has to wait is waited for, which costs a test that passes no more than that."""


def test_a_prune_in_the_middle_takes_no_volume_of_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    imported(home, "app:1")
    services = home.engine.services
    prunes = threading.Thread(target=lambda: services.volumes.prune({"all": ["true"]}, CONTEXT))
    append = services.containers._append_created

    def append_while_somebody_prunes(*arguments: Any, **options: Any) -> None:
        prunes.start()
        prunes.join(PATIENCE_S)
        append(*arguments, **options)

    monkeypatch.setattr(services.containers, "_append_created", append_while_somebody_prunes)
    host = {"NetworkMode": "none", "Binds": ["data:/data"]}
    services.containers.create({"Image": "app:1", "Cmd": ["true"], "HostConfig": host}, "web", CONTEXT)
    prunes.join()
    assert [view.state.id for view in services.volumes.list()] == ["data"]
