"""Carries a plan out: what is ready is done side by side, each worker on a connection of its own that stays open.

Actions that only wait are not counted against the limit, or the last free worker could wait for something that needs
one. After a failure nothing new begins (unless the plan is one that tears down: then what doesn't need the failed
action goes on), what is under way comes to its end, and the first error is raised.
"""

from __future__ import annotations

import threading
from _queue import SimpleQueue

from engine.client.api import Client
from engine.compose.running.listening import Listener
from engine.compose.running.plan import WAIT, Action, Plan
from engine.compose.running.waiting import GivenUp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    Perform = Callable[[Client, Action, threading.Event], str]
    """Does one action; the event is set when it should give up. Answers with why it was skipped, or ""."""

USUAL_WORKERS = 16


class Executor:
    """``parallel`` below 1: as many as is usual."""

    def __init__(
        self, make_client: Callable[[], Client], perform: Perform, listener: Listener, parallel: int = -1
    ) -> None:
        self._make_client = make_client
        self._perform = perform
        self._listener = listener
        self._workers = parallel if parallel > 0 else USUAL_WORKERS
        self._giving_up = threading.Event()

    def give_up(self) -> None:
        """From any thread: nothing new begins, and nothing waits any longer."""
        self._giving_up.set()

    def run(self, plan: Plan, *, keep_going: bool = False) -> None:
        """Raises the first error that an action raised, and KeyboardInterrupt after what was under way."""
        run = _Run(self, plan, keep_going)
        try:
            run.to_its_end()
        except KeyboardInterrupt:
            self.give_up()
            run.settle()
            raise


class _Run:
    def __init__(self, executor: Executor, plan: Plan, keep_going: bool) -> None:
        self._perform = executor._perform
        self._make_client = executor._make_client
        self._listener = executor._listener
        self._giving_up = executor._giving_up
        self._keep_going = keep_going
        self._rest = {action.key: action for action in plan.actions}
        self._done: set[str] = set()
        self._failed: list[BaseException] = []
        self._ready: SimpleQueue[Action | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[Action, BaseException | None]] = SimpleQueue()
        self._limit = min(executor._workers, len(plan.actions))
        self._threads: list[threading.Thread] = []
        self._busy = 0

    def to_its_end(self) -> None:
        try:
            self._begin_ready()
            while self._busy:
                self._take(*self._ended.get())
                self._begin_ready()
        finally:
            for _ in self._threads:
                self._ready.put(None)
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed[0]

    def settle(self) -> None:
        """Wait for what is under way. The threads are asked, not the count: whatever interrupted us may have done so
        between an end that was heard and its being counted."""
        for thread in self._threads:
            thread.join()

    def _take(self, action: Action, error: BaseException | None) -> None:
        self._busy -= 1
        if error is None:
            self._done.add(action.key)
            return
        self._failed.append(error)
        if not self._keep_going:
            self._giving_up.set()

    def _begin_ready(self) -> None:
        if self._giving_up.is_set():
            return
        for key in [key for key, action in self._rest.items() if action.needs <= self._done]:
            action = self._rest.pop(key)
            self._busy += 1
            if action.verb == WAIT:
                threading.Thread(target=self._do_alone, args=(action,), daemon=True).start()
                continue
            if len(self._threads) < self._limit:
                self._threads.append(threading.Thread(target=self._work, daemon=True))
                self._threads[-1].start()
            self._ready.put(action)

    def _do_alone(self, action: Action) -> None:
        with self._make_client() as client:
            self._do(client, action)

    def _work(self) -> None:
        with self._make_client() as client:
            while (action := self._ready.get()) is not None:
                if self._giving_up.is_set():  # it was only queued
                    self._ended.put((action, GivenUp(f"{action.key} was not begun")))
                else:
                    self._do(client, action)

    def _do(self, client: Client, action: Action) -> None:
        error: BaseException | None = None
        try:
            self._listener.begins(action)
            self._listener.ends(action, self._perform(client, action, self._giving_up))
        except GivenUp as given_up:
            error = given_up
        except BaseException as raised:
            error = raised
            self._listener.fails(action, raised)
        finally:
            self._ended.put((action, error))
