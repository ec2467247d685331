"""Bytes to and from worker jobs, through pipes: nothing is held, and whoever leaves ends the other side."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Iterator, TypeVar

from engine.images.content import CHUNK_BYTES, Readable

Result = TypeVar("Result")


def output_of(job: Callable[[list[int]], object]) -> Iterator[bytes]:
    """What a job writes to the descriptor that it gets, as it comes. Raises what the job raises, at the end."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with open(reader, "rb", buffering=0) as pipe, ThreadPoolExecutor(1, "job") as pool:
        writing = pool.submit(job, [writer])
        writing.add_done_callback(lambda _: os.close(writer))
        try:
            while chunk := pipe.read(CHUNK_BYTES):
                yield chunk
        finally:
            pipe.close()  # ends the worker, where nobody wants more
        writing.result()


def feed(stream: Readable, job: Callable[[list[int]], Result]) -> Result:
    """Have a job read a stream from the descriptor that it gets. A job that has enough says itself what is wrong."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with ThreadPoolExecutor(1, "job") as pool:
        reading = pool.submit(job, [reader])
        reading.add_done_callback(lambda _: os.close(reader))  # ends the writing, where it stopped early
        with open(writer, "wb", buffering=0) as pipe:
            try:
                while chunk := stream.read(CHUNK_BYTES):
                    view = memoryview(chunk)
                    while view:
                        view = view[pipe.write(view) or 0 :]
            except BrokenPipeError:
                pass
        return reading.result()
