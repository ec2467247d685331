"""``docket compose`` build, pull, push and images."""

from __future__ import annotations

from engine.cli.compose.invocation import DRY_RUN, Invocation, Verb
from engine.cli.compose.progress import progress_for
from engine.cli.compose.scene import Scene
from engine.cli.flags import Options, listed, switch, text
from engine.cli.listing import short_id
from engine.cli.output import CommandError, out
from engine.cli.quantities import ago, human_size, parse_size
from engine.cli.references import split_tag
from engine.cli.table import layout
from engine.client import jsontext
from engine.client.api import path_of
from engine.client.errors import APIError
from engine.client.moments import unix_ns
from engine.compose.running.actual import list_containers, own_name
from engine.compose.running.desired import Desired, desired_state
from engine.compose.running.images import BuildOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COLUMN_WIDTH = 20
_NEVER = "0001-"
"""Go's zero time."""


def build(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    progress = progress_for(invocation.progress, invocation.ansi, quiet_build=options.quiet)
    with Scene(invocation, "build", arguments, progress=progress) as scene:
        desired = desired_state(scene.bare_project, tuple(arguments), with_needs=options.with_dependencies)
        given = BuildOptions(
            arguments=dict(options.build_arg), no_cache=options.no_cache, pull=options.pull, memory=options.memory or 0,
            ssh=options.ssh,
        )  # fmt: skip
        plan = scene.operations.build(desired, given)
        if not plan:
            scene.progress.warns("No services to build")
        if options.push and not invocation.dry_run:
            scene.operations.push(desired, keep_going=False)
    return 0


def _desired(scene: Scene, options: Options, arguments: list[str]) -> Desired:
    return desired_state(scene.bare_project, tuple(arguments), with_needs=options.include_deps)


def pull(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    if options.policy not in ("", "missing", "always"):
        raise CommandError(f'unknown policy "{options.policy}": use missing or always')
    progress = progress_for(invocation.progress, invocation.ansi, quiet_pull=options.quiet)
    with Scene(invocation, "pull", arguments, progress=progress) as scene:
        try:
            desired = _desired(scene, options, arguments)
            scene.operations.pull(
                desired, only_missing=options.policy == "missing",
                ignore_buildable=options.ignore_buildable, keep_going=options.ignore_pull_failures,
            )  # fmt: skip
        except Exception:
            if not options.ignore_pull_failures:
                raise
    return 0


def push(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    progress = progress_for(invocation.progress, invocation.ansi, quiet_pull=options.quiet)
    with Scene(invocation, "push", arguments, progress=progress) as scene:
        try:
            desired = _desired(scene, options, arguments)
            scene.operations.push(desired, keep_going=options.ignore_push_failures)
        except Exception:
            if not options.ignore_push_failures:
                raise
    return 0


def show_images(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    if options.format not in ("table", "json"):
        raise CommandError(f'unsupported format "{options.format}": use table or json')
    with Scene(invocation, "images", arguments) as scene:
        wanted = {one.id for one in scene.containers(arguments)}
        found = [one for one in list_containers(scene.client, scene.any_project.name) if one["Id"] in wanted]
        rows = [_image(scene, one) for one in sorted(found, key=own_name)]
    if options.quiet:
        out("".join(f"{id.removeprefix('sha256:')}\n" for id in dict.fromkeys(row["ID"] for row in rows)))
    elif options.format == "json":
        shown = [{key: value for key, value in row.items() if key != "Created"} for row in rows]
        out(jsontext.encode(shown) + "\n")
    else:
        head = ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"]
        out(layout([head, *map(_cells, rows)], _COLUMN_WIDTH))
    return 0


def _image(scene: Scene, container: dict[str, Any]) -> dict[str, Any]:
    id, name = container["ImageID"], container["Image"]
    repository, tag = split_tag(name) if not name.startswith("sha256:") else ("<none>", "<none>")
    try:
        found = scene.client.call("GET", path_of("images", id, "json"))
    except APIError:
        found = {}
    return {
        "ID": id, "ContainerName": own_name(container), "Repository": repository, "Tag": tag or "latest",
        "Platform": f"{found.get('Os', '')}/{found.get('Architecture', '')}", "Size": found.get("Size", 0),
        "LastTagTime": (found.get("Metadata") or {}).get("LastTagTime") or "", "Created": found.get("Created") or "",
    }  # fmt: skip


def _cells(row: dict[str, Any]) -> list[str]:
    tagged = row["LastTagTime"]
    moment = tagged if tagged and not tagged.startswith(_NEVER) else row["Created"]
    try:
        created = ago(unix_ns(moment) / 1e9)
    except ValueError:
        created = "N/A"
    return [
        row["ContainerName"], row["Repository"], row["Tag"], row["Platform"], short_id(row["ID"]),
        human_size(row["Size"], 3), created,
    ]  # fmt: skip


def _argument(given: str) -> tuple[str, str | None]:
    name, found, value = given.partition("=")
    if not name:
        raise ValueError("NAME=VALUE is expected")
    return name, value if found else None


BUILD = Verb(
    build,
    "[OPTIONS] [SERVICE...]",
    DRY_RUN,
    listed("--build-arg", "Set build-time variables for services", "stringArray", _argument),
    text("-m, --memory", "Set memory limit for the build container", kind="bytes", parse=parse_size),
    switch("--no-cache", "Do not use cache when building the image"),
    switch("--pull", "Always attempt to pull a newer version of the image"),
    switch("--push", "Push service images"),
    switch("-q, --quiet", "Suppress the build output"),
    listed("--ssh", "Set SSH authentications used when building service images (use 'default' for the default agent)"),
    switch("--with-dependencies", "Also build dependencies (transitively)"),
    examples="docket compose build --no-cache web",
)
PULL = Verb(
    pull,
    "[OPTIONS] [SERVICE...]",
    DRY_RUN,
    switch("--ignore-buildable", "Ignore images that can be built"),
    switch("--ignore-pull-failures", "Pull what it can and ignores images with pull failures"),
    switch("--include-deps", "Also pull services declared as dependencies"),
    text("--policy", 'Apply pull policy ("missing"|"always")'),
    switch("-q, --quiet", "Pull without printing progress information"),
)
PUSH = Verb(
    push,
    "[OPTIONS] [SERVICE...]",
    DRY_RUN,
    switch("--ignore-push-failures", "Push what it can and ignores images with push failures"),
    switch("--include-deps", "Also push images of services declared as dependencies"),
    switch("-q, --quiet", "Push without printing progress information"),
)
IMAGES = Verb(
    show_images,
    "[OPTIONS] [SERVICE...]",
    text("--format", "Format the output. Values: [table | json]", "table"),
    switch("-q, --quiet", "Only display IDs"),
)
