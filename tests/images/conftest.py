"""A store to unpack into, for the tests of images."""

from __future__ import annotations

from pathlib import Path

import pytest
from layer_tars import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.made(tmp_path)
