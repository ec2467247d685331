"""Sizes, durations, CPUs and moments as Docker reads and shows them."""

from __future__ import annotations

import os
import time
from typing import Callable, Iterator

import pytest

from engine.cli.quantities import binary_size, human_duration, human_size, parse_cpus, parse_size, parse_swap
from engine.client.moments import days_from_civil, duration_ns, moment_to_unix

HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("64m", 64 << 20), ("64M", 64 << 20), ("64mb", 64 << 20), ("64MiB", 64 << 20), ("64 m", 64 << 20),
        ("1.5g", 3 << 29), ("1024", 1024), ("1024b", 1024), ("0", 0), ("2t", 2 << 40), ("1p", 1 << 50), (".5k", 512),
    ],
)  # fmt: skip
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "invalid size: 'abc'"),
        ("", "invalid size: ''"),
        ("-5", "invalid size: '-5'"),
        ("0x", "invalid suffix: 'x'"),
        ("5kk", "invalid suffix: 'kk'"),
        ("5bb", "invalid suffix: 'bb'"),
        ("5kibi", "invalid suffix: 'kibi'"),
        ("1..5m", 'strconv.ParseFloat: parsing "1..5": invalid syntax'),
        ("1 2m", 'strconv.ParseFloat: parsing "1 2": invalid syntax'),
    ],
)
def test_sizes_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.") + "$"):
        parse_size(text)


def test_swap_may_be_unlimited() -> None:
    assert (parse_swap("-1"), parse_swap("1k")) == (-1, 1024)
    with pytest.raises(ValueError, match="invalid size"):
        parse_swap("-2")


@pytest.mark.parametrize(
    ("text", "nano"),
    [("1.5", 1_500_000_000), ("2", 2 * 10**9), ("0.000000001", 1), ("3/2", 1_500_000_000), ("-1", -(10**9))],
)
def test_cpus(text: str, nano: int) -> None:
    assert parse_cpus(text) == nano


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("many", "failed to parse many as a rational number"),
        ("", "failed to parse  as a rational number"),
        ("1/0", "failed to parse 1/0 as a rational number"),
        ("0.0000000001", "value is too precise"),
        ("1/3", "value is too precise"),
    ],
)
def test_cpus_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_cpus(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_984_512, "1.98MB"), (87_810_000, "87.8MB"), (5_000_000_000, "5GB")],
)
def test_human_sizes(size_bytes: int, shown: str) -> None:
    assert human_size(size_bytes) == shown


def test_other_precisions_and_bases() -> None:
    assert human_size(1_984_512, 4) == "1.985MB"
    assert binary_size(25_276_502_016) == "23.54GiB"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.5, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"), (46 * 60, "46 minutes"), (3600, "About an hour"), (89 * 60, "About an hour"),
        (90 * 60, "2 hours"), (47 * HOUR, "47 hours"), (48 * HOUR, "2 days"), (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"), (60 * DAY, "2 months"), (729 * DAY, "24 months"), (730 * DAY, "2 years"),
    ],
)  # fmt: skip
def test_human_durations(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1h", 3600 * 10**9), ("1h30m", 5400 * 10**9), ("1.5h", 5400 * 10**9), ("300ms", 3 * 10**8), ("2us", 2000),
        ("2µs", 2000), ("7ns", 7), ("-2s", -2 * 10**9), ("+1s", 10**9), ("0", 0), (".5s", 5 * 10**8), ("1.s", 10**9),
    ],
)  # fmt: skip
def test_durations(text: str, ns: int) -> None:
    assert duration_ns(text) == ns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("x", 'time: invalid duration "x"'),
        ("1", 'time: missing unit in duration "1"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1h2", 'time: missing unit in duration "1h2"'),
        ("1.2.3s", 'time: invalid duration "1.2.3s"'),
        ("-", 'time: invalid duration "-"'),
    ],
)
def test_durations_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        duration_ns(text)
    assert str(raised.value) == message


@pytest.fixture
def far_east() -> Iterator[None]:
    """Local time is two hours ahead of UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "XXX-2"
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.__setitem__("TZ", before)
    time.tzset()


@pytest.mark.parametrize(
    ("text", "unix"),
    [
        ("10m", "999999400.000000000"),
        ("0s", "1000000000.000000000"),
        ("1136073600", "1136073600"),
        ("1136073600.000000001", "1136073600.000000001"),
        ("2006-01-02T15:04:05Z", "1136214245.000000000"),
        ("2006-01-02T15:04:05.5Z", "1136214245.500000000"),
        ("2006-01-02T15:04:05+01:00", "1136210645.000000000"),
        ("2006-01-02T15:04:05.000000001-01:00", "1136217845.000000001"),
        ("2006-01-02T15:04:05", "1136207045.000000000"),
        ("2006-01-02T15:04", "1136207040.000000000"),
        ("2006-01-02", "1136152800.000000000"),
        ("2006-01-02Z", "1136160000.000000000"),
        ("1969-12-31T23:59:59Z", "-1.000000000"),
    ],
)
def test_moments(far_east: None, text: str, unix: str) -> None:
    assert moment_to_unix(text, now_s=1e9) == unix


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2006-13-01", "2006-02-29", "2006-01-02T25:00", "2006-01-02T1x", "20-1"]
)
def test_moments_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        moment_to_unix(text)


@pytest.mark.parametrize("days", range(-800_000, 800_000, 9_973))
def test_days_agree_with_the_calendar_of_the_library(days: int) -> None:
    moment = time.gmtime(days * 86400)
    assert days_from_civil(moment.tm_year, moment.tm_mon, moment.tm_mday) == days


@pytest.mark.parametrize("parser", [parse_size, parse_cpus, duration_ns, moment_to_unix])
@pytest.mark.parametrize("text", ["²", "١", "1_0", " 1", "1e", "\x00", "nan", "inf", "1" * 400, "-", "."])
def test_odd_characters_are_refused_or_read_never_a_crash(parser: Callable[[str], object], text: str) -> None:
    try:
        parser(text)
    except ValueError as error:
        assert str(error)
