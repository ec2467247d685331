"""The services of images on a registry in memory, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from support.image_home import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "root")
    yield made
    made.engine.core.log.close()
    made.timers.close()
