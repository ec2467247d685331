"""The threads that fetch blobs: so many at once for the whole daemon, and each blob once, whoever wants it."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Callable, Iterator

from engine.domain.errors import EngineError
from engine.images.content import ContentStore
from engine.images.growing import WHOLE
from engine.images.manifests import Descriptor
from engine.images.registry.cancellation import Cancellation, Cancelled
from engine.images.registry.client import Repository
from engine.images.registry.transfers import Fetched, Listener, Progress, ignore, stored

_IDLE_S = 10.0
"""A thread that had nothing to do for so long ends."""


class Download:
    """What somebody waits for. Others may wait for the same blob; ``leads`` says that nobody did before."""

    def __init__(
        self, blob: Descriptor, repository: Repository, listener: Listener, leave: Callable[[Download], None]
    ) -> None:
        self.blob = blob
        self.repository = repository
        self.future: Future[Fetched] = Future()
        self.leads = False
        self._listener = listener
        self._begun = threading.Event()
        self._leave = leave
        self.future.add_done_callback(lambda _: self._begun.set())

    def tell(self, progress: Progress) -> None:
        self._begun.set()
        self._listener(progress)

    def is_coming(self) -> bool:
        """Wait for the blob's first bytes; False where it is over with them, or comes for somebody else's sake."""
        if self.leads:
            self._begun.wait()
        return self.leads and not self.done

    def when_whole(self, action: Callable[[], None]) -> None:
        """Have ``action`` called once the blob is in the store, before those who follow it hear of that."""
        self.future.add_done_callback(lambda future: None if future.exception() else action())

    @contextmanager
    def followed(self, store: ContentStore) -> Iterator[list[int]]:
        """Descriptors for a worker that reads the blob as it comes: the file, and the pipe of ``Growing``.

        What it reads is worth something only after ``result`` has answered. Raises NotFound.
        """
        with store.open_coming(self.blob.digest) as file:
            pipe_fd, end_fd = os.pipe2(os.O_CLOEXEC)
            self.future.add_done_callback(lambda future: _say_end(end_fd, whole=not future.exception()))
            try:
                yield [file.fileno(), pipe_fd]
            finally:
                os.close(pipe_fd)

    def result(self, timeout_s: float | None = None) -> Fetched:
        """Wait until the blob is in the store. Raises what Repository.fetch raises, TimeoutError."""
        return self.future.result(timeout_s)

    @property
    def done(self) -> bool:
        """Whether ``result`` would answer or raise at once."""
        return self.future.done()

    def cancel(self) -> None:
        """Wait no longer. The fetch itself ends when nobody is left who waits for it; what came so far is kept."""
        self._leave(self)


class _Job:
    """A blob that is fetched, and those who wait for it; by way of the first one's repository."""

    def __init__(self, blob: Descriptor) -> None:
        self.blob = blob
        self.waiting: list[Download] = []
        self.attempt: Cancellation | None = None

    def tell(self, progress: Progress) -> None:
        for download in list(self.waiting):
            download.tell(progress)


class Downloads:
    """One for the daemon. Blobs that the store has are answered at once, without the network."""

    def __init__(self, store: ContentStore, at_once: int = 3) -> None:
        self._store = store
        self._at_once = at_once
        self._changed = threading.Condition()
        self._queue: deque[_Job] = deque()
        self._jobs: dict[tuple[str, int], _Job] = {}
        self._threads = 0
        self._idle = 0
        self._closed = False

    def start(self, repository: Repository, blob: Descriptor, listener: Listener = ignore) -> Download:
        """Queue a blob; it is fetched in the order of the calls. Where it is being fetched for somebody else, join
        them: should their operation be cancelled or refused, it goes on by way of this ``repository``."""
        download = Download(blob, repository, listener, self._leave)
        if self._is_stored(download):
            return download
        repository.cancellation.on_cancel(download, download.cancel)
        with self._changed:
            if self._closed:
                _finish(download, Cancelled("the engine is stopping"))
            if download.done:
                return download
            job = self._jobs.get(_key(blob))
            if job is None:
                job = self._jobs[_key(blob)] = _Job(blob)
                self._queue.append(job)
                download.leads = True
                self._hire()
            job.waiting.append(download)
        return download

    def _is_stored(self, download: Download) -> bool:
        try:
            fetched = stored(download.blob, self._store)
        except EngineError as error:
            _finish(download, error)
            return True
        if fetched:
            _finish(download, fetched)
        return fetched is not None

    def close(self) -> None:
        """Cancel everything and end the threads."""
        with self._changed:
            self._closed = True
            downloads = [download for job in self._jobs.values() for download in job.waiting]
            self._changed.notify_all()
        for download in downloads:
            self._leave(download)
        with self._changed:
            self._changed.wait_for(lambda: not self._threads, timeout=_IDLE_S)

    # --- the threads ---

    def _hire(self) -> None:
        if self._idle >= len(self._queue):
            self._changed.notify()
        elif self._threads < self._at_once:
            threading.Thread(target=self._work, name="download", daemon=True).start()
            self._threads += 1  # where none could be started, none is counted

    def _work(self) -> None:
        while (job := self._next()) is not None:
            while (download := self._first(job)) is not None:
                self._fetch(job, download)

    def _next(self) -> _Job | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._queue or self._closed, timeout=_IDLE_S)
            self._idle -= 1
            if self._queue:
                return self._queue.popleft()
            self._threads -= 1
            self._changed.notify_all()
            return None

    def _first(self, job: _Job) -> Download | None:
        """Whose repository is asked next; None ends the job."""
        with self._changed:
            if job.waiting:
                job.attempt = Cancellation()
                return job.waiting[0]
            job.attempt = None
            if self._jobs.get(_key(job.blob)) is job:
                del self._jobs[_key(job.blob)]
            return None

    def _fetch(self, job: _Job, download: Download) -> None:
        attempt = job.attempt
        assert attempt is not None
        try:
            fetched = download.repository.fetch(job.blob, self._store, job.tell, attempt)
        except BaseException as error:  # carried over to the one whose repository it was; others go on with theirs
            self._settle(job, [download], error)
        else:
            self._settle(job, None, fetched)

    def _settle(self, job: _Job, downloads: list[Download] | None, outcome: Fetched | BaseException) -> None:
        """For some, or (None) for all who wait: to all but the first it came without the network."""
        with self._changed:
            chosen = [download for download in downloads or list(job.waiting) if download in job.waiting]
            job.waiting = [download for download in job.waiting if download not in chosen]
            if downloads is None and self._jobs.get(_key(job.blob)) is job:
                del self._jobs[_key(job.blob)]
            for number, download in enumerate(chosen):
                if number and isinstance(outcome, Fetched):
                    outcome = outcome._replace(received_bytes=0)
                _finish(download, outcome)
        for download in chosen:
            download.repository.cancellation.forget(download)

    def _leave(self, download: Download) -> None:
        attempt = None
        with self._changed:
            job = self._jobs.get(_key(download.blob))
            if job is not None and download in job.waiting:
                attempt = job.attempt if job.waiting[0] is download else None
                job.waiting.remove(download)
            _finish(download, Cancelled("operation was cancelled"))
        if attempt is not None:
            attempt.cancel()  # others who wait go on by way of their own repository
        download.repository.cancellation.forget(download)


def _key(blob: Descriptor) -> tuple[str, int]:
    """Of two sizes for one digest, one is a lie: who tells it must not spoil it for the other."""
    return blob.digest, blob.size_bytes


def _say_end(fd: int, whole: bool) -> None:
    try:
        if whole:
            os.write(fd, WHOLE)
    except BrokenPipeError:
        pass  # whoever read has given up
    finally:
        os.close(fd)


def _finish(download: Download, outcome: Fetched | BaseException) -> None:
    """The first outcome counts."""
    if download.future.done():
        return
    if isinstance(outcome, Fetched):
        download.future.set_result(outcome)
    else:
        download.future.set_exception(outcome)
