"""``docket compose`` up, create and scale."""

from __future__ import annotations

from engine.cli.compose.invocation import DRY_RUN, Invocation, Verb
from engine.cli.compose.lifecycle import timeout_flag
from engine.cli.compose.progress import progress_for
from engine.cli.compose.scene import Scene
from engine.cli.flags import Flag, Options, integer, listed, switch, text
from engine.cli.output import CommandError
from engine.compose.running.desired import Desired, desired_state
from engine.compose.running.plan_up import UpOptions

_PULL_CHOICES = ("always", "missing", "never", "policy", "build")
_CONTRADICTIONS = (
    ("force_recreate", "no_recreate"), ("build", "no_build"), ("always_recreate_deps", "no_recreate"),
    ("detach", "abort_on_container_exit"), ("detach", "abort_on_container_failure"), ("detach", "exit_code_from"),
    ("detach", "attach"), ("detach", "attach_dependencies"), ("wait", "abort_on_container_exit"),
    ("wait", "exit_code_from"), ("attach", "attach_dependencies"),
    ("abort_on_container_exit", "abort_on_container_failure"),
)  # fmt: skip


def up(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    _check(options)
    progress = progress_for(
        invocation.progress, invocation.ansi, quiet_pull=options.quiet_pull, quiet_build=options.quiet_build
    )
    with Scene(invocation, "up", arguments, progress=progress) as scene:
        scene.explains = options.explain
        desired = _desired(scene, options, arguments)
        if options.detach or options.wait or options.no_start or invocation.dry_run:
            _bring_up(scene, desired, options)
            if options.wait and not invocation.dry_run:
                scene.operations.wait_until_up(desired, options.wait_timeout or None)
            return 0
        from engine.cli.compose.attached_up import AttachedUp

        return AttachedUp(scene, desired, options).run(lambda: _bring_up(scene, desired, options))


def create(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    _check(options)
    progress = progress_for(invocation.progress, invocation.ansi, quiet_pull=options.quiet_pull)
    with Scene(invocation, "create", arguments, progress=progress) as scene:
        desired = _desired(scene, options, arguments)
        images = _images(scene, desired, options)
        scene.operations.up(desired, _up_options(options, start=False), images)
    return 0


def scale(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    """``up -d --scale`` of these services, with what they need."""
    wanted = dict(_scale_of(given) for given in arguments)
    with Scene(invocation, "scale", tuple(wanted)) as scene:
        desired = desired_state(scene.project, tuple(wanted), with_needs=not options.no_deps, scales=wanted)
        images = scene.operations.prepare_images(desired)
        scene.operations.up(desired, UpOptions(), images)
    return 0


def _scale_of(given: str) -> tuple[str, int]:
    try:
        return _scale(given)
    except ValueError as error:
        raise CommandError(f"invalid scale specifier: {error}") from error


def _desired(scene: Scene, options: Options, arguments: list[str]) -> Desired:
    if not scene.project.model["services"]:
        raise CommandError("no service selected")
    with_needs = not getattr(options, "no_deps", False)
    return desired_state(scene.project, tuple(arguments), with_needs=with_needs, scales=dict(options.scale))


def _bring_up(scene: Scene, desired: Desired, options: Options) -> None:
    images = _images(scene, desired, options)
    scene.operations.up(desired, _up_options(options, start=not options.no_start), images)


def _images(scene: Scene, desired: Desired, options: Options) -> dict[str, str]:
    pull = "" if options.pull == "policy" else options.pull
    return scene.operations.prepare_images(desired, pull=pull, build=options.build, no_build=options.no_build)


def _up_options(options: Options, *, start: bool) -> UpOptions:
    return UpOptions(
        force_recreate=options.force_recreate,
        no_recreate=options.no_recreate,
        always_recreate_deps=getattr(options, "always_recreate_deps", False),
        start=start,
        renew_anonymous=getattr(options, "renew_anon_volumes", False),
        remove_orphans=options.remove_orphans,
        timeout_s=getattr(options, "timeout", None),
    )


def _check(options: Options) -> None:
    """Raises CommandError for flags that contradict each other."""
    if options.pull not in _PULL_CHOICES:
        raise CommandError(f'invalid --pull option "{options.pull}": use one of {", ".join(_PULL_CHOICES)}')
    for one, other in _CONTRADICTIONS:
        if getattr(options, one, None) and getattr(options, other, None):
            raise CommandError(f"--{one.replace('_', '-')} and --{other.replace('_', '-')} are incompatible")


def _scale(given: str) -> tuple[str, int]:
    name, found, count = given.partition("=")
    if not found or not name:
        raise ValueError(f"{given}: use SERVICE=NUM")
    if not count.isdecimal():
        raise ValueError(f"can't parse replica value as int: {given}")
    return name, int(count)


def scale_flag() -> Flag:
    return listed("--scale", "Scale SERVICE to NUM instances. Overrides the `scale` setting in the Compose file if "
                  "present.", "scale", _scale)  # fmt: skip


_MAKING = (
    switch("--build", "Build images before starting containers"),
    switch("--force-recreate", "Recreate containers even if their configuration and image haven't changed"),
    switch("--no-build", "Don't build an image, even if it's policy"),
    switch("--no-recreate", "If containers already exist, don't recreate them. Incompatible with --force-recreate."),
    text("--pull", 'Pull image before running ("always"|"missing"|"never"|"build")', "policy"),
    switch("--quiet-pull", "Pull without printing progress information"),
    switch("--remove-orphans", "Remove containers for services not defined in the Compose file"),
    scale_flag(),
    switch("-y, --yes", 'Assume "yes" as answer to all prompts and run non-interactively'),
)
UP = Verb(
    up,
    "[OPTIONS] [SERVICE...]",
    DRY_RUN,
    *_MAKING,
    switch("--abort-on-container-exit", "Stops all containers if any container was stopped. Incompatible with -d"),
    switch("--abort-on-container-failure", "Stops all containers if any container exited with failure. "
           "Incompatible with -d"),
    switch("--always-recreate-deps", "Recreate dependent containers. Incompatible with --no-recreate."),
    listed("--attach", "Restrict attaching to the specified services. Incompatible with --attach-dependencies."),
    switch("--attach-dependencies", "Automatically attach to log output of dependent services"),
    switch("-d, --detach", "Detached mode: Run containers in the background"),
    text("--exit-code-from", "Return the exit code of the selected service container. Implies "
         "--abort-on-container-exit"),
    switch("--explain", "Say of every container that is made anew which key changed, from what to what"),
    listed("--no-attach", "Do not attach (stream logs) to the specified services"),
    switch("--no-color", "Produce monochrome output"),
    switch("--no-deps", "Don't start linked services"),
    switch("--no-log-prefix", "Don't print prefix in logs"),
    switch("--no-start", "Don't start the services after creating them"),
    switch("--quiet-build", "Suppress the build output"),
    switch("-V, --renew-anon-volumes", "Recreate anonymous volumes instead of retrieving data from the previous "
           "containers"),
    timeout_flag("Use this timeout in seconds for container shutdown when attached or when containers are already "
                 "running"),
    switch("--timestamps", "Show timestamps"),
    switch("--wait", "Wait for services to be running|healthy. Implies detached mode."),
    integer("--wait-timeout", "Maximum duration in seconds to wait for the project to be running|healthy"),
    examples="docket compose up -d\ndocket compose up --build --scale web=3\ndocket compose up -d --explain",
)  # fmt: skip
CREATE = Verb(create, "[OPTIONS] [SERVICE...]", DRY_RUN, *_MAKING)
SCALE = Verb(
    scale,
    "[SERVICE=REPLICAS...]",
    DRY_RUN,
    switch("--no-deps", "Don't start linked services"),
    least=1,
    examples="docket compose scale web=3 worker=0",
)
