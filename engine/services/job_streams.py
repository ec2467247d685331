"""Bytes to and from worker jobs, through pipes: nothing is held, and whoever leaves ends the other side."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Iterator, TypeVar

from engine.images.content import CHUNK_BYTES, Readable

Result = TypeVar("Result")


def output_of(job: Callable[[list[int]], object]) -> Iterator[bytes]:
    """What a job writes to the descriptor that it gets, as it comes. Raises what the job raises, at the end."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with open(reader, "rb", buffering=0) as pipe, ThreadPoolExecutor(1, "job") as pool:
        writing = _begun(pool, job, writer)
        try:
            while chunk := pipe.read(CHUNK_BYTES):
                yield chunk
        finally:
            pipe.close()  # ends the worker, where nobody wants more
        writing.result()


def feed(stream: Readable, job: Callable[[list[int]], Result]) -> Result:
    """Have a job read a stream from the descriptor that it gets. A job that has enough says itself what is wrong."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with open(writer, "wb", buffering=0) as pipe, ThreadPoolExecutor(1, "job") as pool:
        reading = _begun(pool, job, reader)
        with pipe:
            try:
                while chunk := stream.read(CHUNK_BYTES):
                    view = memoryview(chunk)
                    while view:
                        view = view[pipe.write(view) or 0 :]
            except BrokenPipeError:
                pass
        return reading.result()


def _begun(pool: ThreadPoolExecutor, job: Callable[[list[int]], Result], fd: int) -> Future[Result]:
    """The job, under way. Its descriptor is closed when it is done, which ends the other side; also where there is no
    thread for it."""
    try:
        doing = pool.submit(job, [fd])
    except BaseException:
        os.close(fd)
        raise
    doing.add_done_callback(lambda _: os.close(fd))
    return doing
