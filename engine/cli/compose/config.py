"""``docket compose config``: what the compose files come to, in canonical form. No engine is asked."""

from __future__ import annotations

from engine.cli import flags
from engine.cli.command import Command
from engine.cli.output import CommandError, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

    from engine.cli.compose.invocation import Invocation
    from engine.cli.flags import Options
    from engine.compose.project import Project

_FORMATS = ("yaml", "json")
_COLUMN_WIDTH = 20
_NAMES_ALONE = ("services", "images", "volumes", "networks", "profiles", "variables")
"""What is printed without the services' variables, and so also where a file of these is missing."""


def print_config(invocation: Invocation, options: Options, arguments: list[str]) -> int:
    if options.format not in _FORMATS:
        raise CommandError(f'unsupported format "{options.format}": use {" or ".join(_FORMATS)}')
    project = invocation.project(
        tuple(arguments),
        interpolate=not (options.no_interpolate or options.variables),
        normalize=not options.no_normalize,
        check_consistency=not options.no_consistency,
        resolve_paths=not options.no_path_resolution,
        resolve_env_files=not (options.no_env_resolution or any(getattr(options, one) for one in _NAMES_ALONE)),
    )
    if arguments:
        from engine.compose.model.selection import narrowed

        project = narrowed(project, tuple(arguments))
    if options.quiet:
        return 0
    _write(_text(project, options), options.output)
    return 0


def _text(project: Project, options: Options) -> str:
    services = project.model["services"]
    if options.services:
        return _lines(services)
    if options.volumes:
        return _lines(project.model.get("volumes", {}))
    if options.networks:
        return _lines(project.model.get("networks", {}))
    if options.hash:
        return _hashes(services, options.hash)
    if options.variables:
        return _variables(project)
    if options.profiles:
        every = [*services.values(), *project.disabled.values()]
        return _lines({name for service in every for name in service.get("profiles", ())})
    if options.images:
        return _lines(service.get("image") or f"{project.name}-{name}" for name, service in services.items())
    if options.environment:
        return _lines(f"{name}={value}" for name, value in project.environment.items())
    from engine.compose import printing

    if options.no_interpolate:
        return printing.raw_text(project.model, options.format)
    return printing.json_text(project.model) if options.format == "json" else printing.yaml_text(project.model)


def _variables(project: Project) -> str:
    """What the files take from the environment."""
    from engine.cli.table import layout
    from engine.compose.reading.interpolation import InterpolationError, mentioned

    found: dict[str, tuple[str, bool, str, str]] = {}
    waiting: list[object] = [project.model, project.disabled]
    while waiting:
        value = waiting.pop()
        if isinstance(value, (dict, list)):
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, str):
            try:
                found |= {one[0]: one for one in mentioned(value)}
            except InterpolationError as error:
                raise CommandError(str(error)) from error
    rows = [(name, "true" if must else "false", default, other) for name, must, default, other in found.values()]
    return layout([("NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"), *sorted(rows)], _COLUMN_WIDTH)


def _lines(names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))


def _hashes(services: dict[str, dict[str, object]], wanted: str) -> str:
    from engine.compose.hashes import config_hash

    names = sorted(services) if wanted == "*" else sorted(wanted.split(","))
    for name in names:
        if name not in services:
            raise CommandError(f"no such service: {name}")
    return "".join(f"{name} {config_hash(services[name])}\n" for name in names)


def _write(text: str, path: str) -> None:
    if not path:
        out(text)
        return
    try:
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error


CONFIG = Command(
    print_config,  # type: ignore[arg-type]
    "[OPTIONS] [SERVICE...]",
    flags.text("--format", "Format the output. Values: [yaml | json]", "yaml"),
    flags.switch("--services", "Print the service names, one per line."),
    flags.switch("--images", "Print the image names, one per line."),
    flags.switch("--volumes", "Print the volume names, one per line."),
    flags.switch("--networks", "Print the network names, one per line."),
    flags.switch("--profiles", "Print the profile names, one per line."),
    flags.text("--hash", "Print the service config hash, one per line (* is every service)."),
    flags.switch("--variables", "Print model variables and default values."),
    flags.switch("--environment", "Print environment used for interpolation."),
    flags.switch("-q, --quiet", "Only validate the configuration, don't print anything"),
    flags.switch("--no-interpolate", "Don't interpolate environment variables"),
    flags.switch("--no-normalize", "Don't normalize compose model"),
    flags.switch("--no-path-resolution", "Don't resolve file paths"),
    flags.switch("--no-consistency", "Don't check model consistency"),
    flags.switch("--no-env-resolution", "Don't resolve service env files"),
    flags.text("-o, --output", "Save to file (default to stdout)"),
    examples="docket compose config --format json\ndocket compose config --hash '*'",
)
