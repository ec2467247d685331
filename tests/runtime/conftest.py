"""A runtime for each test, with the census around it."""

from __future__ import annotations

from typing import Iterator

import pytest

from support.census import assert_nothing_left, take_census
from support.containers import Runtime, layer, running_runtime
from support.machine import ENGINE_NEEDS, first_lack


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    """A supervisor without failpoints."""
    if (reason := first_lack(*ENGINE_NEEDS)) is not None:
        pytest.skip(reason)
    layer()
    before = take_census()
    with running_runtime() as runtime:
        yield runtime
    assert_nothing_left(before)
