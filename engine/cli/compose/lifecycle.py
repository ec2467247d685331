"""``docket compose`` down, start, stop, restart, kill, rm, pause and unpause."""

from __future__ import annotations

from engine.cli.compose.invocation import DRY_RUN, Invocation, Verb
from engine.cli.compose.scene import Scene
from engine.cli.flags import Flag, Options, integer, switch, text
from engine.cli.output import CommandError, err, out
from engine.compose.running.desired import desired_state
from engine.compose.running.plan import KILL, PAUSE, UNPAUSE
from engine.compose.running.plan_down import ALL, LOCAL, NONE, DownOptions
from engine.compose.running.plan_up import UpOptions


def timeout_flag(help: str = "Specify a shutdown timeout in seconds") -> Flag:
    return integer("-t, --timeout", help, None)


def down(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    if options.rmi not in (NONE, LOCAL, ALL):
        raise CommandError(f'invalid value for --rmi: "{options.rmi}": use "local" or "all"')
    with Scene(invocation, "down", arguments) as scene:
        project = scene.any_project
        chosen = DownOptions(options.volumes, options.rmi, options.remove_orphans, options.timeout)
        plan = scene.operations.down(tuple(arguments), chosen)
        if not plan and not project.model["services"] and not arguments and not invocation.dry_run:
            scene.progress.warns(f"No resource found to remove for project \"{project.name}\".")
    return 0


def start(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "start", arguments) as scene:
        desired = desired_state(scene.any_project, tuple(arguments))
        scene.operations.up(desired, UpOptions(make=False), {})
    return 0


def stop(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "stop", arguments) as scene:
        scene.find_project()
        scene.operations.stop(tuple(arguments), options.timeout)
    return 0


def restart(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "restart", arguments) as scene:
        scene.find_project()
        scene.operations.restart(
            tuple(arguments), with_dependents=not options.no_deps, timeout_s=options.timeout
        )
    return 0


def kill(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "kill", arguments) as scene:
        scene.find_project()
        plan = scene.operations.each(KILL, tuple(arguments), options.signal)
        if options.remove_orphans:
            scene.operations.remove_orphans()
        if not plan and not invocation.dry_run:
            err("no container to kill")
    return 0


def pause(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "pause", arguments) as scene:
        scene.find_project()
        scene.operations.each(PAUSE, tuple(arguments))
    return 0


def unpause(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "unpause", arguments) as scene:
        scene.find_project()
        scene.operations.each(UNPAUSE, tuple(arguments))
    return 0


def remove(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "rm", arguments) as scene:
        known = scene.any_project.model["services"]
        going = [one for one in scene.containers(arguments) if one.service in known and (options.stop or not one.up)]
        if not going:
            err("No stopped containers")
            return 0
        names = ", ".join(sorted(one.name for one in going))
        if not invocation.dry_run:
            if options.force:
                out(f"Going to remove {names}\n")
            elif not scene.confirm(f"? Going to remove {names}"):
                return 0
        scene.operations.remove(tuple(arguments), stop=options.stop, volumes=options.volumes)
    return 0


DOWN = Verb(
    down,
    "[OPTIONS] [SERVICES]",
    DRY_RUN,
    switch("--remove-orphans", "Remove containers for services not defined in the Compose file"),
    text("--rmi", "Remove images used by services. \"local\" remove only images that don't have a custom tag "
         "(\"local\"|\"all\")"),
    timeout_flag(),
    switch("-v, --volumes", "Remove named volumes of the project and anonymous volumes attached to containers"),
    examples="docket compose down\ndocket compose down -v --rmi local",
)  # fmt: skip
START = Verb(start, "[SERVICE...]", DRY_RUN)
STOP = Verb(stop, "[OPTIONS] [SERVICE...]", DRY_RUN, timeout_flag())
RESTART = Verb(
    restart,
    "[OPTIONS] [SERVICE...]",
    DRY_RUN,
    switch("--no-deps", "Don't restart the services that want to be restarted along"),
    timeout_flag(),
)
KILL_VERB = Verb(
    kill,
    "[OPTIONS] [SERVICE...]",
    DRY_RUN,
    switch("--remove-orphans", "Remove containers for services not defined in the Compose file"),
    text("-s, --signal", "SIGNAL to send to the container", "SIGKILL"),
)
PAUSE_VERB = Verb(pause, "[SERVICE...]", DRY_RUN)
UNPAUSE_VERB = Verb(unpause, "[SERVICE...]", DRY_RUN)
REMOVE = Verb(
    remove,
    "[OPTIONS] [SERVICE...]",
    DRY_RUN,
    switch("-f, --force", "Don't ask to confirm removal"),
    switch("-s, --stop", "Stop the containers, if required, before removing"),
    switch("-v, --volumes", "Remove any anonymous volumes attached to containers"),
)
