"""The table of contents: which command lies in which module. Nothing is imported before it is typed."""

from __future__ import annotations

from engine.cli.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

Place = tuple[str, str, str]
"""Module under engine.cli, attribute in it, summary."""

_CONTAINER: dict[str, Place] = {
    "attach": ("attach", "ATTACH", "Attach local standard input, output, and error streams to a running container"),
    "commit": ("changes", "COMMIT", "Create a new image from a container's changes"),
    "cp": ("copy", "COPY", "Copy files/folders between a container and the local filesystem"),
    "create": ("run", "CREATE", "Create a new container"),
    "diff": ("changes", "DIFF", "Inspect changes to files or directories on a container's filesystem"),
    "exec": ("execute", "EXEC", "Execute a command in a running container"),
    "export": ("copy", "EXPORT", "Export a container's filesystem as a tar archive"),
    "inspect": ("inspect", "CONTAINER_INSPECT", "Display detailed information on one or more containers"),
    "kill": ("lifecycle", "KILL", "Kill one or more running containers"),
    "logs": ("logs", "LOGS", "Fetch the logs of a container"),
    "ls": ("containers", "LIST", "List containers"),
    "pause": ("lifecycle", "PAUSE", "Pause all processes within one or more containers"),
    "port": ("ports", "PORT", "List port mappings or a specific mapping for the container"),
    "prune": ("prune", "CONTAINER_PRUNE", "Remove all stopped containers"),
    "rename": ("lifecycle", "RENAME", "Rename a container"),
    "restart": ("lifecycle", "RESTART", "Restart one or more containers"),
    "rm": ("lifecycle", "REMOVE", "Remove one or more containers"),
    "run": ("run", "RUN", "Create and run a new container from an image"),
    "start": ("start", "START", "Start one or more stopped containers"),
    "stats": ("stats", "STATS", "Display a live stream of container(s) resource usage statistics"),
    "stop": ("lifecycle", "STOP", "Stop one or more running containers"),
    "top": ("top", "TOP", "Display the running processes of a container"),
    "unpause": ("lifecycle", "UNPAUSE", "Unpause all processes within one or more containers"),
    "update": ("update", "UPDATE", "Update configuration of one or more containers"),
    "wait": ("lifecycle", "WAIT", "Block until one or more containers stop, then print their exit codes"),
}
_BUILD: Place = ("build", "BUILD", "Build an image from a Dockerfile")
_IMAGE: dict[str, Place] = {
    "build": _BUILD,
    "history": ("history", "HISTORY", "Show the history of an image"),
    "import": ("archives", "IMPORT", "Import the contents from a tarball to create a filesystem image"),
    "inspect": ("inspect", "IMAGE_INSPECT", "Display detailed information on one or more images"),
    "load": ("archives", "LOAD", "Load an image from a tar archive or STDIN"),
    "ls": ("images", "LIST", "List images"),
    "prune": ("prune", "IMAGE_PRUNE", "Remove unused images"),
    "pull": ("pull", "PULL", "Download an image from a registry"),
    "push": ("push", "PUSH", "Upload an image to a registry"),
    "rm": ("images", "REMOVE", "Remove one or more images"),
    "save": ("archives", "SAVE", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    "tag": ("images", "TAG", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
}
_BUILDER: dict[str, Place] = {
    "build": _BUILD,
    "du": ("build_usage", "BUILDER_DU", "Disk usage of the build cache"),
    "prune": ("prune", "BUILDER_PRUNE", "Remove build cache"),
}
_NETWORK: dict[str, Place] = {
    "connect": ("networks", "CONNECT", "Connect a container to a network"),
    "create": ("networks", "CREATE", "Create a network"),
    "disconnect": ("networks", "DISCONNECT", "Disconnect a container from a network"),
    "holder": ("networks", "HOLDER", "Show which container has, or had, an address"),
    "inspect": ("inspect", "NETWORK_INSPECT", "Display detailed information on one or more networks"),
    "ls": ("networks", "LIST", "List networks"),
    "prune": ("prune", "NETWORK_PRUNE", "Remove all unused networks"),
    "rm": ("networks", "REMOVE", "Remove one or more networks"),
}
_VOLUME: dict[str, Place] = {
    "create": ("volumes", "CREATE", "Create a volume"),
    "inspect": ("inspect", "VOLUME_INSPECT", "Display detailed information on one or more volumes"),
    "ls": ("volumes", "LIST", "List volumes"),
    "prune": ("prune", "VOLUME_PRUNE", "Remove unused local volumes"),
    "rm": ("volumes", "REMOVE", "Remove one or more volumes"),
}
_CONTEXT: dict[str, Place] = {
    "create": ("contexts", "CREATE", "Create a context"),
    "export": ("context_archive", "EXPORT", "Export a context to a tar archive FILE or a tar stream on STDOUT"),
    "import": ("context_archive", "IMPORT", "Import a context from a tar or zip file"),
    "inspect": ("contexts", "INSPECT", "Display detailed information on one or more contexts"),
    "ls": ("contexts", "LIST", "List contexts"),
    "rm": ("contexts", "REMOVE", "Remove one or more contexts"),
    "show": ("contexts", "SHOW", "Print the name of the current context"),
    "update": ("contexts", "UPDATE", "Update a context"),
    "use": ("contexts", "USE", "Set the current context, which Docker's command takes as well"),
}
_SYSTEM: dict[str, Place] = {
    "dial-stdio": ("dial", "DIAL", "Proxy the stdio stream to the engine: the far end of ssh://"),
    "df": ("disk_usage", "DISK_USAGE", "Show how much disk the engine uses"),
    "fsck": ("fsck", "FSCK", "Compare the store of images with the event log, layer by layer"),
    "events": ("events", "EVENTS", "Get real time events from the server"),
    "info": ("info", "INFO", "Display system-wide information"),
    "prune": ("prune", "SYSTEM_PRUNE", "Remove unused data"),
}
_AUDIT: dict[str, Place] = {
    "head": ("audit", "HEAD", "Print the head of the event log, to be published elsewhere"),
    "redact": ("audit", "REDACT", "Take configurations out of the log for good; that it was done stays on record"),
    "trail": ("audit", "TRAIL", "Show everything that ever happened to an object, and who asked for it"),
    "verify": ("audit", "VERIFY", "Check the whole event log: hash chain, versions, documents"),
    "who-ran": ("who_ran", "WHO_RAN", "Show which containers ran with which powers, and who asked for it"),
}

_BUNDLE: dict[str, Place] = {
    "export": ("bundle", "EXPORT", "Export a container as a bundle for any OCI runtime"),
}

GROUPS: Mapping[str, tuple[str, dict[str, Place]]] = {
    "audit": ("Ask the event log", _AUDIT),
    "builder": ("Manage builds", _BUILDER),
    "bundle": ("Manage OCI bundles", _BUNDLE),
    "container": ("Manage containers", _CONTAINER),
    "context": ("Manage contexts: the engines that commands speak with", _CONTEXT),
    "image": ("Manage images", _IMAGE),
    "network": ("Manage networks", _NETWORK),
    "system": ("Manage the engine", _SYSTEM),
    "volume": ("Manage volumes", _VOLUME),
}

_PLAIN_IMAGE = ("build", "history", "import", "load", "pull", "push", "save", "tag")

COMMANDS: Mapping[str, Place] = {
    **{name: place for name, place in _CONTAINER.items() if name not in ("inspect", "ls", "prune")},
    **{name: place for name, place in _IMAGE.items() if name in _PLAIN_IMAGE},
    **{name: place for name, place in _SYSTEM.items() if name in ("events", "info")},
    "compose": ("compose", "COMPOSE", "Define and run multi-container applications"),
    "completion": ("completion", "COMPLETION", "Print the completion of commands, flags and names for a shell"),
    "daemon": ("daemon", "DAEMON", "Run the engine in the foreground, as a service manager wants it"),
    "images": _IMAGE["ls"],
    "inspect": ("inspect", "INSPECT", "Return low-level information on Docker objects"),
    "login": ("login", "LOGIN", "Authenticate to a registry"),
    "logout": ("login", "LOGOUT", "Log out from a registry"),
    "ps": _CONTAINER["ls"],
    "rmi": _IMAGE["rm"],
    "search": ("search", "SEARCH", "Search a registry for images"),
    "version": ("version", "VERSION", "Show the version information of client and engine"),
}
COMMON = ("run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version", "info")

_OTHER_NAMES = {
    ("container", "list"): "ls",
    ("container", "ps"): "ls",
    ("container", "remove"): "rm",
    ("context", "list"): "ls",
    ("context", "remove"): "rm",
    ("image", "list"): "ls",
    ("image", "remove"): "rm",
    ("network", "list"): "ls",
    ("network", "remove"): "rm",
    ("volume", "list"): "ls",
    ("volume", "remove"): "rm",
}


def find(words: list[str]) -> tuple[str, Place] | None:
    """The path ("container ls") and the place of the command that the words begin with; None if there is none."""
    if words and words[0] in COMMANDS:
        return words[0], COMMANDS[words[0]]
    if len(words) > 1 and words[0] in GROUPS:
        group, name = words[0], _OTHER_NAMES.get((words[0], words[1]), words[1])
        if name in GROUPS[group][1]:
            return f"{group} {words[1]}", GROUPS[group][1][name]
    return None


def load(place: Place) -> Command:
    """Import the module of a command."""
    return getattr(__import__(f"engine.cli.{place[0]}", fromlist=[place[1]]), place[1])


def aliases(place: Place) -> list[str]:
    """Every path that leads to the same command."""
    paths = [f"{group} {name}" for group, (_, found) in GROUPS.items() for name, here in found.items() if here == place]
    paths += [
        f"{group} {other}" for (group, other), name in _OTHER_NAMES.items() if GROUPS[group][1][name] == place
    ]  # fmt: skip
    return paths + [name for name, here in COMMANDS.items() if here == place]


def group_help(group: str) -> str:
    """What ``docket container`` prints."""
    summary, found = GROUPS[group]
    lines = "\n".join(f"  {name:<11} {place[2]}" for name, place in sorted(found.items()))
    return (
        f"Usage:  docket {group} COMMAND\n\n{summary}\n\nCommands:\n{lines}\n\n"
        f"Run 'docket {group} COMMAND --help' for more information on a command.\n"
    )


def program_help(global_flags: str, topics: str) -> str:
    """What ``docket --help`` prints."""
    common = "\n".join(f"  {name:<11} {COMMANDS[name][2]}" for name in COMMON)
    groups = "\n".join(f"  {name:<11} {summary}" for name, (summary, _) in GROUPS.items())
    others = "\n".join(f"  {name:<11} {place[2]}" for name, place in sorted(COMMANDS.items()) if name not in COMMON)
    return (
        "Usage:  docket [OPTIONS] COMMAND\n\nA container engine with a memory\n\n"
        f"Common Commands:\n{common}\n\nManagement Commands:\n{groups}\n\nCommands:\n{others}\n\n"
        f"Topics:\n{topics}\n\nGlobal Options:\n{global_flags}\n\n"
        "Run 'docket COMMAND --help' for more information on a command, 'docket help TOPIC' on a topic; new here?\n"
        "Read 'docket help first-steps'.\n"
    )
