"""``docket compose watch``: what changes in the source of services is brought into their containers."""

from __future__ import annotations

import time

from engine.cli.compose.invocation import Invocation, Verb
from engine.cli.compose.progress import progress_for
from engine.cli.compose.scene import Scene
from engine.cli.flags import Options, switch
from engine.cli.output import CommandError, err
from engine.client.api import path_of
from engine.client.errors import ClientError
from engine.client.file_archive import tar_pieces
from engine.compose import labels
from engine.compose.project import ComposeError
from engine.compose.running.actual import Container
from engine.compose.running.desired import desired_state
from engine.compose.running.hooks import run_hook
from engine.compose.running.plan_up import UpOptions
from engine.compose.running.watching import EXEC, REBUILD, RESTART, Trigger, changed, look, places_gone, triggers_of

_PAUSE_S = 0.5
"""Between two looks; and how long nothing must change until what has changed is taken."""


def watch(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    progress = progress_for(invocation.progress, invocation.ansi, quiet_build=options.quiet)
    with Scene(invocation, "watch", arguments, progress=progress) as scene:
        desired = desired_state(scene.project, tuple(arguments))
        watched = [name for name in desired.selected if not arguments or name in desired.named]
        triggers = [one for name in watched for one in triggers_of(name, desired.services[name].config)]
        if not triggers:
            raise CommandError("none of the selected services is configured for watch: give them a develop section")
        if not options.no_up:
            images = scene.operations.prepare_images(desired, build=True)
            scene.operations.up(desired, UpOptions(), images)
        scene.progress.close()
        Watching(scene, triggers, prune=options.prune).run()
    return 0


class Watching:
    """Ends with KeyboardInterrupt. What goes wrong for one change is told, and the next one is waited for."""

    def __init__(self, scene: Scene, triggers: list[Trigger], *, prune: bool) -> None:
        self._scene = scene
        self._triggers = triggers
        self._prune = prune

    def run(self) -> None:
        seen = [look(trigger) for trigger in self._triggers]
        for trigger, files in zip(self._triggers, seen):
            if trigger.initial_sync and trigger.syncs:
                self._try([(trigger, list(files), [])])
        err("Watch enabled")
        while True:
            time.sleep(_PAUSE_S)
            now = [look(trigger) for trigger in self._triggers]
            if now == seen:
                continue
            while (later := self._after_a_pause()) != now:
                now = later
            found = [(one, *changed(old, new)) for one, old, new in zip(self._triggers, seen, now) if old != new]
            seen = now
            self._try(found)

    def _after_a_pause(self) -> list[dict[str, tuple[int, int, int]]]:
        time.sleep(_PAUSE_S)
        return [look(trigger) for trigger in self._triggers]

    def _try(self, found: list[tuple[Trigger, list[str], list[str]]]) -> None:
        for service in dict.fromkeys(trigger.service for trigger, *_ in found):
            try:
                self._settle(service, [one for one in found if one[0].service == service])
            except (ComposeError, CommandError, ClientError, OSError) as error:
                err(f"watch: {service}: {error}")

    def _settle(self, service: str, found: list[tuple[Trigger, list[str], list[str]]]) -> None:
        if any(REBUILD in trigger.verbs for trigger, *_ in found):
            self._rebuild(service)
            return
        count = sum(len(files) + len(gone) for _, files, gone in found)
        containers = [one for one in self._scene.containers([service]) if one.up]
        for trigger, files, gone in found:
            if trigger.syncs:
                for one in containers:
                    self._sync(one, trigger, files, gone)
        if any(trigger.syncs for trigger, *_ in found):
            err(f'Syncing service "{service}" after {count} changes were detected')
        for trigger in (trigger for trigger, *_ in found if EXEC in trigger.verbs):
            for one in containers:
                run_hook(self._scene.client, one.id, "watch", trigger.hook, self._show)
        if any(RESTART in trigger.verbs for trigger, *_ in found):
            for one in containers:
                self._scene.client.call("POST", path_of("containers", one.id, "restart"))
            err(f'service(s) ["{service}"] restarted')

    @staticmethod
    def _show(data: bytes) -> None:
        for line in data.decode("utf-8", "replace").splitlines():
            err(line)

    def _sync(self, container: Container, trigger: Trigger, files: list[str], gone: list[str]) -> None:
        client, path = self._scene.client, path_of("containers", container.id, "archive")
        for name in files:
            local = f"{trigger.path}/{name}" if name else trigger.path
            pieces = tar_pieces(local, trigger.place_of(name).lstrip("/"))
            answer = client.stream("PUT", path, query={"path": "/", "noOverwriteDirNonDir": "true"}, upload=pieces)
            answer.read()
            answer.close()
        if gone:
            removal = {"command": ["rm", "-rf", "--", *places_gone(trigger, gone)]}
            run_hook(client, container.id, "watch", removal, self._show)

    def _rebuild(self, service: str) -> None:
        err(f'Rebuilding service(s) ["{service}"] after changes were detected...')
        desired = desired_state(self._scene.project, (service,), with_needs=False)
        images = self._scene.operations.prepare_images(desired, build=True)
        self._scene.operations.up(desired, UpOptions(), images)
        self._scene.progress.close()
        if self._prune:
            label = f"{labels.PROJECT}={self._scene.project.name}"
            filters = {"dangling": {"true": True}, "label": {label: True}}
            self._scene.client.call("POST", "/images/prune", query={"filters": filters})
        err(f'service(s) ["{service}"] successfully built')


WATCH = Verb(
    watch,
    "[SERVICE...]",
    switch("--no-up", "Do not build & start services before watching"),
    switch("--prune", "Prune dangling images on rebuild", default=True),
    switch("--quiet", "hide build output"),
    examples="docket compose watch\ndocket compose watch --no-up web",
)
