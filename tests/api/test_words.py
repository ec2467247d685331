"""Times, durations and key sequences in Docker's words."""

from __future__ import annotations

import pytest

from engine.api.detach_keys import parse_detach_keys
from engine.api.times import human_duration, rfc3339, rfc3339nano
from engine.domain.errors import InvalidArgument

NOW_US = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("time_us", "text"),
    [(0, "0001-01-01T00:00:00Z"), (NOW_US, "2023-11-14T22:13:20Z"), (NOW_US + 100_000, "2023-11-14T22:13:20.1Z"),
     (NOW_US + 1, "2023-11-14T22:13:20.000001Z")],
)  # fmt: skip
def test_times_as_go_writes_them(time_us: int, text: str) -> None:
    assert rfc3339nano(time_us) == text


def test_whole_seconds() -> None:
    assert rfc3339(NOW_US + 999_999) == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "Less than a second"), (1, "1 second"), (45, "45 seconds"), (60, "About a minute"), (119, "About a minute"),
     (120, "2 minutes"), (3600, "About an hour"), (5399, "About an hour"), (5400, "2 hours"), (47 * 3600, "47 hours"),
     (48 * 3600, "2 days"), (13 * 86400, "13 days"), (14 * 86400, "2 weeks"), (59 * 86400, "8 weeks"),
     (60 * 86400, "2 months"), (729 * 86400, "24 months"), (730 * 86400, "2 years")],
)  # fmt: skip
def test_durations(seconds: int, words: str) -> None:
    assert human_duration(seconds * 1_000_000) == words


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", b"\x10\x11"), ("ctrl-p,ctrl-q", b"\x10\x11"), ("a", b"a"), ("ctrl-@,x", b"\x00x"), ("ctrl-_", b"\x1f"),
     ("ctrl-a,b,ctrl-[", b"\x01b\x1b")],
)  # fmt: skip
def test_detach_keys(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-1", "ab", "ctrl-", "ctrl-a,", "é"])
def test_detach_keys_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_detach_keys(text)
