"""What containers write, read by a thread each and printed line by line."""

from __future__ import annotations

import threading

from engine.cli.compose.log_lines import LineSplitter, LogPrinter
from engine.client.api import Client, path_of
from engine.client.connection import Response
from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

_PIECE_BYTES = 65536
_END_S = 2.0


class Outputs:
    """``make_client`` gives a connection for each reader."""

    def __init__(self, make_client: Callable[[], Client], printer: LogPrinter) -> None:
        self._make_client = make_client
        self._printer = printer
        self._threads: dict[str, threading.Thread] = {}
        self._open: list[Response] = []
        self._lock = threading.Lock()

    def attach(self, container_id: str, name: str, *, timestamps: bool = False) -> None:
        """From now on. Answers only when the engine has the container's streams connected, so that nothing is missed of
        one that starts right after."""
        if timestamps:  # only what was logged has times
            self.follow(container_id, name, {"timestamps": True, "since": "0"}, wait_for_start=True)
            return
        client = self._make_client()
        tty = bool(client.inspect(container_id)["Config"].get("Tty"))
        query = {"stream": True, "stdout": True, "stderr": True}
        response = client.hijack(path_of("containers", container_id, "attach"), query=query)
        self._begin(container_id, lambda: self._carry(client, response, name, tty, response.connection.receive))

    def follow(
        self, container_id: str, name: str, query: Mapping[str, Any], *, wait_for_start: bool = False
    ) -> None:
        """What it has logged and goes on to log, after what is being read of it already."""
        before = self._threads.get(container_id)

        def read() -> None:
            if before is not None:
                before.join()
            client = self._make_client()
            if wait_for_start:
                self._wait_for_start(client, container_id)
            self.print_logs(client, container_id, name, {"follow": True, **query})

        self._begin(container_id, read)

    @staticmethod
    def _wait_for_start(client: Client, container_id: str) -> None:
        """The log of a container that never ran has its end at once."""
        pause = threading.Event()
        while client.inspect(container_id)["State"]["Status"] == "created":
            pause.wait(0.02)

    def print_logs(self, client: Client, container_id: str, name: str, query: Mapping[str, Any]) -> None:
        """To the end of the log, in this thread."""
        tty = bool(client.inspect(container_id)["Config"].get("Tty"))
        path = path_of("containers", container_id, "logs")
        response = client.stream("GET", path, query={"stdout": True, "stderr": True, **query})
        self._carry(client, response, name, tty, lambda limit: response.read_some())

    def _begin(self, container_id: str, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except (ClientError, OSError):
                return  # the container, the engine or whoever read us is gone: the main flow finds out and says so

        thread = threading.Thread(target=run, daemon=True)
        with self._lock:
            self._threads[container_id] = thread
        thread.start()

    def _carry(
        self, client: Client, response: Response, name: str, tty: bool, receive: Callable[[int], bytes]
    ) -> None:
        with self._lock:
            self._open.append(response)
        splitter = LineSplitter(self._printer, name, framed=not tty)
        try:
            while data := receive(_PIECE_BYTES):
                splitter.feed(data)
        finally:
            splitter.close()
            response.close()
            client.close()

    def ended(self, container_id: str) -> None:
        """Wait a moment until what the container wrote last is printed."""
        thread = self._threads.get(container_id)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_END_S)

    def join(self, timeout_s: float | None = None) -> None:
        """Until every output has ended."""
        for thread in list(self._threads.values()):
            thread.join(timeout_s)
