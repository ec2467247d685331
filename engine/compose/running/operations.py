"""The use cases: look at what there is, plan, carry out. One object is one command on one project."""

from __future__ import annotations

import os
import threading
import time

from engine.client.api import Client, path_of
from engine.client.moments import unix_ns
from engine.compose.project import ComposeError, Project
from engine.compose.running import actual as actual_state
from engine.compose.running.actual import Actual, Container, image_ids
from engine.compose.running.dependencies import HEALTHY
from engine.compose.running.desired import Desired, desired_state
from engine.compose.running.hashing import service_hash
from engine.compose.running.listening import Listener
from engine.compose.running.names import cause_of
from engine.compose.running.plan import BUILD, CONTAINER, PULL, PUSH, WAIT, Action, Plan
from engine.compose.running.plan_down import (
    ALL, DownOptions, plan_down, plan_each, plan_orphans, plan_remove, plan_stop,
)  # fmt: skip
from engine.compose.running.plan_images import asks_for_age, plan_builds, plan_images, plan_pulls, plan_pushes
from engine.compose.running.plan_restart import plan_restart
from engine.compose.running.plan_up import UpOptions, plan_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Mapping

    from engine.compose.running.images import BuildOptions, OpenContext

    Show = Callable[[Plan], None]


class Operations:
    """``client`` tells where the engine is, ``verb`` is the command's name, for the engine's log. With ``dry_run``
    plans are shown and not carried out; ``show`` gets every plan before it begins."""

    def __init__(
        self, project: Project, client: Client, verb: str, listener: Listener, *, open_context: OpenContext,
        program: str, parallel: int = -1, dry_run: bool = False, show: Show | None = None,
    ) -> None:  # fmt: skip
        self.project = project
        self._address = client.address
        self._verb = verb
        self._listener = listener
        self._open_context = open_context
        self._program = program
        self._parallel = parallel
        self._dry_run = dry_run
        self._show = show
        self._correlation = os.urandom(16).hex()
        self.client = self.make_client()

    def make_client(self) -> Client:
        """One more connection, whose requests belong to this command."""
        client = Client(self._address, program=self._program, correlation=self._correlation)
        client.say_cause(cause_of(self.project.name, self._verb, ""))
        return client

    def close(self) -> None:
        self.client.close()

    def actual(self, *, with_resources: bool = False) -> Actual:
        return actual_state.read(self.client, self.project.name, with_resources=with_resources)

    # --- up, create, start -------------------------------------------------------------------------------------------

    def prepare_images(
        self, desired: Desired, *, pull: str = "", build: bool = False, no_build: bool = False,
        build_options: BuildOptions | None = None,
    ) -> dict[str, str]:  # fmt: skip
        """Have the selected services' images there; their ids. Raises ComposeError."""
        references = [desired.services[name].image for name in desired.selected]
        there = image_ids(self.client, references)
        ages = self._ages_s([image for image in asks_for_age(desired) if image in there])
        plan = plan_images(desired, there, pull=pull, build=build, no_build=no_build, ages_s=ages)
        if plan:
            self._carry_out(plan, desired, Actual(), there, build_options)
            there = image_ids(self.client, references)
        return there

    def _ages_s(self, images: Iterable[str]) -> dict[str, float]:
        ages = {}
        for image in images:
            found = self.client.call("GET", path_of("images", image, "json"))
            tagged = (found.get("Metadata") or {}).get("LastTagTime") or found.get("Created")
            ages[image] = time.time() - unix_ns(tagged) / 1e9
        return ages

    def up(self, desired: Desired, options: UpOptions, images: Mapping[str, str]) -> Plan:
        """Bring the selected services to what they should be. Answers with the plan that was carried out."""
        actual = self.actual(with_resources=True)
        plan = plan_up(desired, actual, images, options, service_hash)
        self._carry_out(plan, desired, actual, images)
        return plan

    def up_for(self, guest: str, desired: Desired, images: Mapping[str, str], *, remove_orphans: bool) -> None:
        """Have there what a one-off container of the service ``guest`` needs."""
        needed = tuple(name for name in desired.selected if name != guest)
        others = desired.replace(selected=needed, named=frozenset(needed))
        self.up(others, UpOptions(remove_orphans=remove_orphans, guest=guest), images)

    def wait_until_up(self, desired: Desired, timeout_s: float | None = None) -> None:
        """``--wait``: all containers of the selected services run, and are healthy where they have a check."""
        from engine.compose.running.waiting import GivenUp

        give_up = threading.Event()
        deadline = threading.Timer(timeout_s, give_up.set) if timeout_s else None
        if deadline is not None:
            deadline.daemon = True
            deadline.start()
        try:
            self._wait_for_each([one for name in desired.selected for one in self.actual().of(name)], give_up)
        except GivenUp as error:
            raise ComposeError(f"application not healthy after {timeout_s:g}s") from error
        finally:
            if deadline is not None:
                deadline.cancel()

    def _wait_for_each(self, containers: Iterable[Container], give_up: threading.Event) -> None:
        from engine.compose.running.executor import Executor
        from engine.compose.running.waiting import wait_for

        waits = [
            Action(WAIT, CONTAINER, one.name, one.service, container=one, settings={"condition": HEALTHY})
            for one in containers
        ]  # fmt: skip

        def perform(client: Client, action: Action, stop: threading.Event) -> str:
            assert action.container is not None
            wait_for(client, action.container.id, action.service, HEALTHY, give_up, health_is_optional=True)
            return ""

        Executor(self.make_client, perform, self._listener).run(Plan(tuple(waits)), keep_going=True)

    def restart(self, services: tuple[str, ...], *, with_dependents: bool, timeout_s: int | None) -> Plan:
        desired = desired_state(self.project, services, with_needs=False)
        actual = self.actual()
        plan = plan_restart(desired, actual, desired.named, with_dependents=with_dependents, timeout_s=timeout_s)
        self._carry_out(plan, desired, actual, {})
        return plan

    # --- down and what is done to each -------------------------------------------------------------------------------

    def down(self, services: tuple[str, ...], options: DownOptions) -> Plan:
        desired = desired_state(self.project, services, with_needs=False)
        actual = self.actual(with_resources=True)
        chosen = services or tuple(desired.services)  # what has another profile stays, as with Docker Compose
        images = self._images_that_go(desired, chosen, options)
        plan = plan_down(self.project, actual, desired.needs, chosen, options, images)
        self._carry_out(plan, desired, actual, {}, keep_going=True)
        return plan

    @staticmethod
    def _images_that_go(desired: Desired, chosen: Iterable[str], options: DownOptions) -> dict[str, str]:
        """Those without a name of their own; with ALL the others, too."""
        return {
            desired.services[name].image: name
            for name in chosen
            if name in desired.services and (options.images == ALL or not desired.services[name].names_its_image)
        }

    def stop(self, services: tuple[str, ...], timeout_s: int | None) -> Plan:
        desired = desired_state(self.project, services, with_needs=False)
        actual = self.actual()
        plan = plan_stop(actual, desired.needs, desired.named, timeout_s)
        self._carry_out(plan, desired, actual, {}, keep_going=True)
        return plan

    def remove(self, services: tuple[str, ...], *, stop: bool, volumes: bool) -> Plan:
        desired = desired_state(self.project, services, with_needs=False)
        actual = self.actual()
        plan = plan_remove(actual, desired.needs, desired.named, stop=stop, volumes=volumes)
        self._carry_out(plan, desired, actual, {}, keep_going=True)
        return plan

    def each(self, verb: str, services: tuple[str, ...], signal: str = "") -> Plan:
        """KILL, PAUSE or UNPAUSE."""
        desired = desired_state(self.project, services, with_needs=False)
        actual = self.actual()
        plan = plan_each(verb, actual, desired.named, signal)
        self._carry_out(plan, desired, actual, {}, keep_going=True)
        return plan

    def remove_orphans(self) -> Plan:
        """Containers of services that the file doesn't have."""
        desired, actual = desired_state(self.project), self.actual()
        plan = plan_orphans(self.project, actual)
        self._carry_out(plan, desired, actual, {}, keep_going=True)
        return plan

    # --- images ------------------------------------------------------------------------------------------------------

    def build(self, desired: Desired, options: BuildOptions) -> Plan:
        return self._on_images(plan_builds(desired, desired.selected), desired, options)

    def pull(self, desired: Desired, *, only_missing: bool, ignore_buildable: bool, keep_going: bool) -> Plan:
        there = image_ids(self.client, [desired.services[name].image for name in desired.selected])
        plan = plan_pulls(
            desired, desired.selected, there, only_missing=only_missing, ignore_buildable=ignore_buildable
        )
        return self._on_images(plan, desired, keep_going=keep_going)

    def push(self, desired: Desired, *, keep_going: bool) -> Plan:
        return self._on_images(plan_pushes(desired, desired.selected), desired, keep_going=keep_going)

    def _on_images(
        self, plan: Plan, desired: Desired, options: BuildOptions | None = None, *, keep_going: bool = False
    ) -> Plan:
        self._carry_out(plan, desired, Actual(), {}, options, keep_going=keep_going)
        return plan

    # --- carrying out ------------------------------------------------------------------------------------------------

    def _carry_out(
        self, plan: Plan, desired: Desired, actual: Actual, images: Mapping[str, str],
        build_options: BuildOptions | None = None, *, keep_going: bool = False,
    ) -> None:  # fmt: skip
        for warning in plan.warnings:
            self._listener.warns(warning)
        if self._show is not None:
            self._show(plan)
        if self._dry_run or not plan:
            return
        # what unchanged projects don't need is imported here: `up` on one of them takes no longer than its file
        from engine.compose.running.effects import Effects
        from engine.compose.running.executor import Executor

        builder = None
        if any(action.verb in (PULL, BUILD, PUSH) for action in plan.actions):
            from engine.compose.running.images import Images

            builder = Images(desired, self._listener, self._open_context, build_options)
        effects = Effects(plan, desired, actual, images, self._listener, builder)
        executor = Executor(self.make_client, effects.perform, self._listener, self._parallel)
        executor.run(plan, keep_going=keep_going)
