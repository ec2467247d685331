"""``docket compose volumes``: the volumes of a project, or those that some of its services mount."""

from __future__ import annotations

from engine.cli.compose.invocation import Invocation, Verb
from engine.cli.compose.scene import Scene
from engine.cli.flags import Options, switch
from engine.cli.listing import format_flag
from engine.cli.output import out
from engine.cli.volumes import show_volumes
from engine.compose import labels


def list_volumes(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    with Scene(invocation, "volumes", arguments) as scene:
        filters = {"label": {f"{labels.PROJECT}={scene.any_project.name}": True}}
        found = scene.client.call("GET", "/volumes", query={"filters": filters}).get("Volumes") or []
        if arguments:
            mounted = {name for one in scene.containers(arguments) for name in one.volumes}
            found = [volume for volume in found if volume["Name"] in mounted]
    if options.quiet:
        out("".join(f"{volume['Name']}\n" for volume in sorted(found, key=lambda volume: volume["Name"])))
    else:
        show_volumes(found, options.format)
    return 0


VOLUMES = Verb(
    list_volumes,
    "[OPTIONS] [SERVICE...]",
    format_flag(),
    switch("-q, --quiet", "Only display volume names"),
    examples="docket compose volumes -q",
)
