"""``docket inspect`` and its siblings: an object's JSON as the engine wrote it, or a template over it."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.containers import AS_OF_HELP
from engine.cli.flags import Options, refused, switch, text
from engine.cli.output import CommandError, err, out
from engine.cli.session import Session
from engine.client import jsontext
from engine.client.api import path_of
from engine.client.errors import APIError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

    Fetch = Callable[[str], bytes]

_NOT_FOUND = 404
_TYPES = ("container", "image", "network", "volume")


def _fetchers(session: Session, options: Options) -> dict[str, Fetch]:
    """How each type of object is asked for; inspection does not decode what it only prints."""
    client = session.client
    platform = getattr(options, "platform", "") or None
    as_of, evidence = getattr(options, "as_of", ""), getattr(options, "evidence", False)

    def container(name: str) -> bytes:
        if evidence:
            query = {"as_of": as_of or None}
            found = client.call("GET", "/docket" + path_of("containers", name, "json"), query=query)
            if found["Evidence"] is None:
                raise CommandError(f"Error: container {name} has not been started: there is no evidence")
            return jsontext.encode(found["Evidence"]).encode()
        if as_of:
            return client.call_raw("GET", "/docket" + path_of("containers", name, "json"), query={"as_of": as_of})
        size = getattr(options, "size", False)
        return client.call_raw("GET", path_of("containers", name, "json"), query={"size": size})

    def network(name: str) -> bytes:
        prefix, query = ("/docket", {"as_of": as_of}) if as_of else ("", {})
        return client.call_raw("GET", prefix + path_of("networks", name), query=query)

    return {
        "container": container,
        "image": lambda name: client.call_raw("GET", path_of("images", name, "json"), query={"platform": platform}),
        "network": network,
        "volume": lambda name: client.call_raw("GET", path_of("volumes", name)),
    }


def inspect_objects(session: Session, options: Options, arguments: list[str]) -> int:
    """Containers first, then images, networks and volumes, unless ``--type`` names one."""
    asks_the_log = options.as_of or options.evidence
    types = [options.type] if options.type else ["container"] if asks_the_log else list(_TYPES)
    if options.type and options.type not in _TYPES:
        raise CommandError(f'"{options.type}" is not a valid value for --type: use {", ".join(_TYPES)}')
    if asks_the_log and types != ["container"]:
        raise CommandError(f"{'--as-of' if options.as_of else '--evidence'} works for containers")
    fetchers = _fetchers(session, options)

    def fetch(name: str) -> bytes:
        for type in types:
            try:
                return fetchers[type](name)
            except APIError as error:
                if error.status != _NOT_FOUND or len(types) == 1:
                    raise
        kind = f"such {options.type}" if options.type else "such object"
        raise CommandError(f"Error: No {kind}: {name}")

    return _print_all(arguments, fetch, options.format)


def _inspect_one_type(type: str) -> Callable[[Session, Options, list[str]], int]:
    def run(session: Session, options: Options, arguments: list[str]) -> int:
        return _print_all(arguments, _fetchers(session, options)[type], options.format)

    return run


def _print_all(names: Sequence[str], fetch: Fetch, format: str) -> int:
    """Print what was found; afterwards the failures. Docker stops asking at none of them."""
    found: list[str] = []
    failures: list[str] = []
    for name in names:
        try:
            found.append(fetch(name).decode("utf-8", "replace").strip())
        except APIError as error:
            failures.append(f"Error response from daemon: {error}")
        except CommandError as error:
            failures.append(str(error))
    if format in ("", "json"):
        text_shown = f"[{','.join(found)}]"
        out((jsontext.indent(text_shown) if not format else text_shown) + "\n")
    else:
        _print_templates(found, format)
    for failure in failures:
        err(failure)
    return 1 if failures else 0


def _print_templates(found: Sequence[str], format: str) -> None:
    from engine.cli.listing import for_terminal
    from engine.cli.template import parse_format

    template, _ = parse_format(format)
    if not found:
        out("\n")
    for text_found in found:
        value: Any = jsontext.decode(text_found)
        out(for_terminal(template.execute(value) + "\n"))


_FORMAT = text("-f, --format", "Format output: 'json', or a Go TEMPLATE, as in '{{.State.Pid}}' or '{{json .Mounts}}'")
_SIZE = switch("-s, --size", "Display total file sizes of containers")
_AS_OF = text("--as-of", AS_OF_HELP)
_EVIDENCE = switch("--evidence", "What the kernel confirmed of a container's isolation at its last start")
INSPECT = Command(
    inspect_objects,
    "[OPTIONS] NAME|ID [NAME|ID...]",
    _AS_OF,
    _EVIDENCE,
    _FORMAT,
    _SIZE,
    text("--type", "Only inspect objects of the given type: container, image, network, volume"),
    least=1,
    examples="""
docket inspect web
docket inspect -f '{{.State.Pid}} {{index .Config.Labels "team"}}' web
docket inspect -f '{{range .Mounts}}{{.Source}} -> {{.Destination}}{{println}}{{end}}' web
docket inspect --as-of 2h web
docket inspect --evidence -f '{{.seccomp_mode}} {{json .capabilities.effective}}' web
""",
)
CONTAINER_INSPECT = Command(
    _inspect_one_type("container"),
    "[OPTIONS] CONTAINER [CONTAINER...]",
    _AS_OF,
    _EVIDENCE,
    _FORMAT,
    _SIZE,
    least=1,
    examples="docket container inspect -f '{{.State.Status}}' web",
)
IMAGE_INSPECT = Command(
    _inspect_one_type("image"),
    "[OPTIONS] IMAGE [IMAGE...]",
    _FORMAT,
    text("--platform", "Inspect the image only if it is for this platform, as linux/arm64"),
    least=1,
    examples="docket image inspect -f '{{json .RootFS.Layers}}' base",
)
NETWORK_INSPECT = Command(
    _inspect_one_type("network"),
    "[OPTIONS] NETWORK [NETWORK...]",
    _AS_OF,
    _FORMAT,
    *refused("it is for networks of a swarm", "-v, --verbose", kind=""),
    least=1,
    examples="docket network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' app",
)
VOLUME_INSPECT = Command(
    _inspect_one_type("volume"),
    "[OPTIONS] VOLUME [VOLUME...]",
    _FORMAT,
    least=1,
    examples="docket volume inspect -f '{{.Mountpoint}}' data",
)
