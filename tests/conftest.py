"""What every test gets: capability skips, the census around kernel tests, engines to drive, honest reports of skips."""

from __future__ import annotations

import gc
import signal
from pathlib import Path
from types import FrameType
from typing import Any, Generator, Iterator

import pytest

from support.census import assert_nothing_left, take_census
from support.engine import Engine, running_engine
from support.machine import ENGINE_NEEDS, first_lack
from support.rootfs import write_rootfs
from support.skips import refused_skips, skip_reasons

USUAL_DEADLINE_S = 120


# --- capabilities ------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires(capability, ...): skips, with the reason, where the machine lacks one")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("requires"):
        reason = first_lack(*marker.args)
        if reason is not None:
            pytest.skip(reason)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What the collection made stays: the collector need not walk over it around every test with a census."""
    gc.collect()
    gc.freeze()


# --- deadlines ---------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """A test that hangs fails by its deadline, so that the run as a whole always ends."""
    marker = item.get_closest_marker("deadline")
    seconds = marker.args[0] if marker else USUAL_DEADLINE_S

    def expire(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"the test took longer than {seconds} s")  # which nobody takes for an error of the engine's

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


# --- the kernel and the engine -----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def census(request: pytest.FixtureRequest) -> Iterator[None]:
    """Around every test marked ``kernel``: the machine must come back to what it was."""
    if request.node.get_closest_marker("kernel") is None:
        yield
        return
    before = take_census()
    yield
    assert_nothing_left(before)


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small root file system tarball with sh and the usual commands."""
    return write_rootfs(tmp_path_factory.mktemp("rootfs") / "rootfs.tar")


@pytest.fixture(scope="module")
def module_engine(rootfs: Path) -> Iterator[Engine]:
    """One engine for the tests of a module; they get it by ``engine``."""
    if (reason := first_lack(*ENGINE_NEEDS)) is not None:
        pytest.skip(reason)
    with running_engine(rootfs) as engine:
        yield engine


@pytest.fixture
def engine(module_engine: Engine) -> Iterator[Engine]:
    """The module's engine with the image ``base``; containers and volumes go after each test, and leave nothing."""
    module_engine.reset()
    before = take_census(module_engine.home)
    yield module_engine
    module_engine.reset()
    assert_nothing_left(before, module_engine.home)


@pytest.fixture
def own_engine(rootfs: Path) -> Iterator[Engine]:
    """An engine for one test alone, which may kill it, fill its disk or damage its files."""
    if (reason := first_lack(*ENGINE_NEEDS)) is not None:
        pytest.skip(reason)
    with running_engine(rootfs) as engine:
        yield engine


@pytest.fixture
def stopped_engine() -> Iterator[Engine]:
    """An engine's home with no daemon on it yet and no image."""
    if (reason := first_lack(*ENGINE_NEEDS)) is not None:
        pytest.skip(reason)
    with running_engine(None, start=False) as engine:
        yield engine


# --- honest skips ------------------------------------------------------------------------------------------------


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and refused_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reasons = skip_reasons(terminalreporter.stats)
    if not reasons:
        return
    refused = refused_skips(config)
    terminalreporter.section("skips")
    for reason, count in sorted(reasons.items()):
        mark = "NOT ALLOWED HERE " if reason in refused else ""
        terminalreporter.line(f"{mark}{count:4d} skipped: {reason}")
    if refused:
        terminalreporter.line("with root and Debian's packages these tests must run; see tests/allowed-skips.txt")
