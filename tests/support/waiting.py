"""Waiting for a condition with a deadline, instead of sleeping for a guessed time."""

from __future__ import annotations

import time
from typing import Any, Callable, TypeVar

T = TypeVar("T")


def eventually(probe: Callable[[], T], *, timeout_s: float = 10.0, what: str = "") -> T:
    """Call ``probe`` until its value is true and return that value.

    An AssertionError of the probe counts as "not yet", and is raised when the time is up.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = 0.002
    while True:
        last: Any = None
        failure: AssertionError | None = None
        try:
            last = probe()
            if last:
                return last
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            if failure is not None:
                raise failure
            raise AssertionError(f"not within {timeout_s:g} s: {what or probe.__name__} (last value: {last!r})")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.1)
