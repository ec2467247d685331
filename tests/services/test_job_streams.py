"""Pipes to and from jobs, where there is no thread for the job."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from engine.services import job_streams


@pytest.mark.parametrize(
    "begin", [lambda: list(job_streams.output_of(print)), lambda: job_streams.feed(io.BytesIO(b"x"), print)]
)
def test_a_job_that_could_not_be_begun_leaves_no_descriptor(
    begin: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(RuntimeError, match="can't start new thread"):
        begin()
    assert os.listdir("/proc/self/fd") == before


def test_a_job_is_fed_and_answers() -> None:
    def read(fds: list[int]) -> bytes:
        with open(os.dup(fds[0]), "rb") as pipe:
            return pipe.read()

    assert job_streams.feed(io.BytesIO(b"bytes" * 1000), read) == b"bytes" * 1000
