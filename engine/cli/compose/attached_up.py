"""``docket compose up`` in the foreground: the containers' output, until all of them have ended or somebody asks for
the end. Ctrl-C stops them in order, a second one kills them."""

from __future__ import annotations

import signal
import threading
import time
from _queue import Empty, SimpleQueue

from engine.cli.compose.log_lines import LogPrinter
from engine.cli.compose.outputs import Outputs
from engine.cli.compose.scene import Scene
from engine.cli.flags import Options
from engine.cli.output import CommandError, err
from engine.client import jsontext
from engine.client.errors import APIError, ClientError
from engine.compose import labels
from engine.compose.project import ComposeError
from engine.compose.running.actual import Container
from engine.compose.running.desired import Desired
from engine.compose.running.names import log_name
from engine.compose.running.plan import KILL, Action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_INTERRUPTED = 130
_ENDING = (signal.SIGINT, signal.SIGTERM)
_PAUSE_S = 0.2


class AttachedUp:
    """One such command."""

    def __init__(self, scene: Scene, desired: Desired, options: Options) -> None:
        self._scene = scene
        self._desired = desired
        self._options = options
        self._shown = self._shown_services()
        colour = not options.no_color and scene.invocation.ansi != "never"
        beside = scene.progress.beside
        self._printer = LogPrinter((), colour=colour, prefix=not options.no_log_prefix, beside=beside)
        self._outputs = Outputs(scene.operations.make_client, self._printer)
        self._events: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._began = time.time_ns()
        self._names: dict[str, str] = {}  # id -> name, of what is watched
        self._codes: dict[str, int] = {}  # id -> exit code, of what has ended
        self._services: dict[str, str] = {}
        self._lock = threading.Lock()

    def _shown_services(self) -> frozenset[str]:
        """Whose output is shown: the named services', and where nobody named one all."""
        options, desired = self._options, self._desired
        every = frozenset(desired.selected)
        for name in (*options.attach, *options.no_attach, *filter(None, [options.exit_code_from])):
            if name not in desired.services:
                raise CommandError(f"no such service: {name}")
        chosen = frozenset(options.attach) or (every if options.attach_dependencies else desired.named & every)
        silent = {name for name in every if desired.services[name].config.get("attach") is False}
        return chosen - set(options.no_attach) - (silent - set(options.attach))

    # --- the course of it --------------------------------------------------------------------------------------------

    def run(self, bring_up: Callable[[], None]) -> int:
        """The exit status: 0 when all ended by themselves, the container's with ``--exit-code-from`` and
        ``--abort-on-container-*``, 130 after Ctrl-C."""
        self._scene.progress.on_start = self._will_start
        # also where a shell that started us in the background had SIGINT ignored
        before = {number: signal.signal(number, signal.default_int_handler) for number in _ENDING}
        try:
            self._watch_events()
            bring_up()
            self._attach_to_those_that_ran()
            self._scene.progress.close()
            return self._until_the_end()
        except KeyboardInterrupt:
            err("Gracefully Stopping... press Ctrl+C again to force")
            self._stop_or_kill()
            return _INTERRUPTED
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _will_start(self, action: Action, container_id: str) -> None:
        self._watch(container_id, action.name, action.service)

    def _watch(self, container_id: str, name: str, service: str) -> None:
        shown = log_name(self._desired.project.name, name)
        with self._lock:
            if container_id in self._names:
                return
            self._names[container_id] = shown
            self._services[container_id] = service
        if service in self._shown:
            self._printer.add(shown)
            self._outputs.attach(container_id, shown, timestamps=self._options.timestamps)

    def _attach_to_those_that_ran(self) -> None:
        there = self._scene.operations.actual()
        running = [one for name in self._desired.selected for one in there.of(name) if one.up]
        names = sorted({*self._names.values(), *(log_name(self._desired.project.name, one.name) for one in running)})
        shown = [name for name in names if self._is_shown(name, running)]
        if shown:
            self._printer.note(f"Attaching to {', '.join(shown)}")
        for one in running:
            self._watch(one.id, one.name, one.service)

    def _is_shown(self, shown_name: str, running: list[Container]) -> bool:
        services = {self._names[id]: service for id, service in self._services.items()}
        services |= {log_name(self._desired.project.name, one.name): one.service for one in running}
        return services.get(shown_name) in self._shown

    # --- their ends --------------------------------------------------------------------------------------------------

    def _watch_events(self) -> None:
        client = self._scene.operations.make_client()
        filters = {"type": ["container"], "label": [f"{labels.PROJECT}={self._desired.project.name}"]}
        since = f"{self._began // 10**9}.{self._began % 10**9:09d}"
        response = client.stream("GET", "/events", query={"since": since, "filters": filters})

        def read() -> None:
            try:
                for line in response.lines():
                    self._events.put(jsontext.decode(line))
            except (ClientError, OSError):
                pass
            self._events.put(None)  # the engine is gone

        threading.Thread(target=read, daemon=True).start()

    def _until_the_end(self) -> int:
        while not self._all_ended():
            try:
                event = self._events.get(timeout=_PAUSE_S)
            except Empty:  # look again whether all have ended
                continue
            if event is None:
                raise ComposeError("the engine hung up: the containers go on without us")
            code = self._heard(event)
            if code is not None:
                return code
        self._outputs.join(_PAUSE_S)
        return self._code_of_chosen() if self._options.exit_code_from else 0

    def _heard(self, event: dict[str, Any]) -> int | None:
        """The exit status if that event ends it all."""
        container_id, action = event["Actor"]["ID"], event["Action"]
        if container_id not in self._names:
            return None
        if action == "die":
            return self._died(container_id, int(event["Actor"]["Attributes"].get("exitCode") or 0), event)
        if action == "start" and self._codes.pop(container_id, None) is not None:
            self._follow_again(container_id, event)
        if action == "destroy":
            self._codes.setdefault(container_id, 0)
        return None

    def _died(self, container_id: str, code: int, event: dict[str, Any]) -> int | None:
        restarting = self._will_restart(container_id)
        self._tell_end(container_id, code, restarting)
        if restarting:
            return None
        options = self._options
        aborts = options.abort_on_container_exit or options.exit_code_from
        if aborts or (options.abort_on_container_failure and code):
            err("Aborting on container exit...")
            self._scene.operations.stop(self._desired.selected, options.timeout)
            self._outputs.join(_PAUSE_S)
            self._tell_other_ends()
            return self._code_of_chosen() if options.exit_code_from else code
        return None

    def _tell_end(self, container_id: str, code: int, restarting: bool) -> None:
        self._codes[container_id] = code
        if self._services[container_id] in self._shown:
            if not restarting:
                self._outputs.ended(container_id)
            text = f"{self._names[container_id]} exited with code {code}"
            self._printer.note(text + (" (restarting)" if restarting else ""))

    def _tell_other_ends(self) -> None:
        """Of those that were stopped: their events are on their way."""
        while self._codes.keys() < self._names.keys():
            try:
                event = self._events.get(timeout=_PAUSE_S)
            except Empty:
                return  # one that has no end to tell: it never ran
            if event is None:
                return
            container_id, action = event["Actor"]["ID"], event["Action"]
            if action == "die" and container_id in self._names and container_id not in self._codes:
                self._tell_end(container_id, int(event["Actor"]["Attributes"].get("exitCode") or 0), False)

    def _will_restart(self, container_id: str) -> bool:
        try:
            state = self._scene.client.inspect(container_id)["State"]
        except APIError:
            return False
        return bool(state.get("Restarting") or state["Running"])

    def _follow_again(self, container_id: str, event: dict[str, Any]) -> None:
        """It was started again, by its policy or by somebody: its log has what it writes from now on."""
        if self._services[container_id] in self._shown:
            since = f"{event['timeNano'] // 10**9}.{event['timeNano'] % 10**9:09d}"
            query = {"since": since, "timestamps": self._options.timestamps}
            self._outputs.follow(container_id, self._names[container_id], query)

    def _all_ended(self) -> bool:
        return all(
            container_id in self._codes and not self._will_restart(container_id) for container_id in self._names
        )

    def _code_of_chosen(self) -> int:
        """The exit code of the service of ``--exit-code-from``."""
        found = self._scene.operations.actual().of(self._options.exit_code_from)
        codes = [self._codes.get(one.id, one.exit_code or 0) for one in found]
        return next((code for code in codes if code), 0)

    # --- Ctrl-C ------------------------------------------------------------------------------------------------------

    def _stop_or_kill(self) -> None:
        """Stop in a thread of its own, so that a second Ctrl-C is heard meanwhile."""
        failures: list[BaseException] = []

        def stop() -> None:
            try:
                self._scene.operations.stop(self._desired.selected, self._options.timeout)
            except (ComposeError, ClientError) as error:
                failures.append(error)

        thread = threading.Thread(target=stop, daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_PAUSE_S)
        except KeyboardInterrupt:
            self._scene.new_operations().each(KILL, self._desired.selected, "SIGKILL")
            thread.join()
        self._outputs.join(_PAUSE_S)
        if failures:
            raise failures[0]
