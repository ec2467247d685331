"""An engine's services on a real log and store, with jobs done without a spawner and a registry in memory."""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
from pathlib import Path
from typing import Any, Iterator, Sequence

from engine.daemon import Engine, compose, recover
from engine.domain.error_reports import from_report, to_report
from engine.eventlog.log import Context, EventLog
from engine.images import checks
from engine.images import jobs as image_jobs
from engine.images.content import ContentStore
from engine.images.references import Reference
from engine.images.registry.client import Registries as RegistryClient
from engine.images.registry.credentials import Credentials
from engine.images.registry.downloads import Downloads
from engine.kernel.process import close_all_but
from engine.services.operations import Notice
from engine.services.ports import Store, SystemClock, SystemRandomness
from engine.services.timers import SystemTimers
from support.fake_registry import FakeDownloads, FakeRegistry
from support.fresh_log import place_empty_log

JOBS = {**image_jobs.JOBS, **checks.JOBS}
CONTEXT = Context({"door": "test", "uid": 0}, "request", "request:test")


class Worker:
    """The runtime as far as images need it. ``errors`` end jobs before they begin."""

    def __init__(self) -> None:
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.errors: dict[str, BaseException] = {}

    def run_job(self, name: str, arguments: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        self.done.append((name, arguments))
        if name in self.errors:
            raise self.errors[name]
        return _in_worker(name, arguments, fds) if fds else JOBS[name](arguments, [])

    def count(self, name: str) -> int:
        return sum(done == name for done, _ in self.done)


def _in_worker(name: str, arguments: dict[str, Any], fds: Sequence[int]) -> dict[str, Any]:
    """In a process that has no other descriptors, as from the spawner: a pipe ends when this process closes its end."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            close_all_but((0, 1, 2, writer, *fds))
            with os.fdopen(writer, "w") as told:
                json.dump(_answer(name, arguments, fds), told)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        answer = json.loads(told.read())
    os.waitpid(pid, 0)
    if "error" in answer:
        raise from_report(answer["error"])
    return answer["result"]


def _answer(name: str, arguments: dict[str, Any], fds: Sequence[int]) -> dict[str, Any]:
    try:
        return {"result": JOBS[name](arguments, list(fds))}
    except Exception as error:  # carried over
        return {"error": to_report(error, f"job {name}")}


class Home:
    """The services, the registry, and the short ways to use them."""

    def __init__(self, root: Path, client: RegistryClient | None = None) -> None:
        """With a ``client`` images come from real registries, by real downloads."""
        self.store = Store(root)
        self.store.make()
        place_empty_log(root)
        self.registry = FakeRegistry()
        self.worker = Worker()
        self.departed = threading.Event()
        self.timers = SystemTimers()
        self.content = ContentStore(root / "content")
        self.client = client
        self.downloads = Downloads(self.content) if client else FakeDownloads(self.content)
        self.engine = self._start()

    def _start(self) -> Engine:
        clock = SystemClock()
        log = EventLog(self.store.root / "docket.db", clock=clock.now_us, boot_id="boot")
        engine = compose(
            log, self.worker, self.store, self.store.root / "run", clock, SystemRandomness(), self.timers,
            client=self.client or self.registry, downloads=self.downloads,  # type: ignore[arg-type]
        )  # fmt: skip
        recover(engine, False)
        return engine

    def restart(self) -> None:
        """The engine ends between two steps, and another one starts on what is left."""
        self.engine.core.log.close()
        self.engine = self._start()

    @property
    def log(self) -> EventLog:
        return self.engine.core.log

    def pull(self, name: str, **asked: Any) -> list[Notice]:
        return list(self.pulling(name, **asked))

    def pulling(self, name: str, **asked: Any) -> Iterator[Notice]:
        settings = {"platform": None, "credentials": Credentials(), "departed": self.departed, "context": CONTEXT}
        return self.engine.services.pulls.pull(Reference.parse(name), **{**settings, **asked})

    def push(self, name: str, **asked: Any) -> list[Notice]:
        return list(self.pushing(name, **asked))

    def pushing(self, name: str, **asked: Any) -> Iterator[Notice]:
        settings = {"credentials": Credentials(), "departed": self.departed, "context": CONTEXT}
        return self.engine.services.pushes.push(Reference.parse(name), **{**settings, **asked})

    def remove(self, name: str, *, force: bool = False) -> list[dict[str, str]]:
        return self.engine.services.image_removal.remove(name, force=force, context=CONTEXT)

    def tag(self, name: str, target: str) -> None:
        self.engine.services.images.tag(name, target, CONTEXT)

    def types(self) -> list[str]:
        """The types of all events, in order."""
        return [recorded.type for recorded in self.log.events()]

    def image(self, name: str) -> Any:
        return self.engine.services.images.get(name).state

    def check(self) -> None:
        """The log is whole, no intent is open, and the store holds exactly what the log says."""
        assert self.log.verify().problems == []
        for noun in ("image", "layer"):
            assert [state for state in self.log.all(noun) if state.intents] == []
        stored = {self.store.layer(layer.id).name for layer in self.log.all("layer") if layer.status == "stored"}
        assert {path.name for path in self.store.layers.iterdir()} == stored
        assert self.engine.blobs.unwanted() == []


def layer(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


ONE, TWO, THREE = (layer((name, name.encode())) for name in ("one", "two", "three"))


def statuses(notices: list[Any]) -> list[str]:
    return [notice.status for notice in notices]


def imported(home: Home, name: str, data: bytes = ONE) -> str:
    return home.engine.services.archives.import_(
        io.BytesIO(data), reference=name, changes=[], message="", platform=None, source="-", context=CONTEXT
    )
