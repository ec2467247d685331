"""Why a launch failed, where the init has ended and others stumble over that."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from engine.runtime import messages
from engine.runtime.launch import SetupFailed, first_cause

NOT_FOUND = FileNotFoundError(errno.ENOENT, "No such file or directory", "/proc/7/ns/net")


@pytest.mark.parametrize(("said", "told"), [
    ([{"type": "failed", "message": "the volume has no such path"}], "the volume has no such path"),
    ([], "the container's first process ended while it was being set up (was it killed?)"),
    ([{"type": "ready"}], str(NOT_FOUND)),
])
def test_what_the_init_said_comes_first(said: list[dict[str, Any]], told: str) -> None:
    own, inits = messages.pair()
    with own:
        for message in said:
            messages.send(inits, message)
        inits.close()
        cause = first_cause(own, NOT_FOUND)
    assert str(cause) == told and isinstance(cause, OSError | SetupFailed)


def test_who_still_sets_itself_up_is_not_to_blame() -> None:
    own, inits = messages.pair()
    with own, inits:
        assert first_cause(own, NOT_FOUND) is NOT_FOUND
