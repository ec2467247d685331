"""``docket info``: the engine, its host and what it holds."""

from __future__ import annotations

from engine import __version__
from engine.cli.command import Command
from engine.cli.flags import Options, text
from engine.cli.listing import for_terminal
from engine.cli.output import err, out, printable
from engine.cli.quantities import binary_size
from engine.cli.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

_FIELDS = (
    ("Cgroup Driver", "CgroupDriver"), ("Cgroup Version", "CgroupVersion"), ("Default Runtime", "DefaultRuntime"),
    ("Init Binary", "InitBinary"), ("Kernel Version", "KernelVersion"), ("Operating System", "OperatingSystem"),
    ("OSType", "OSType"), ("Architecture", "Architecture"), ("CPUs", "NCPU"), ("Total Memory", "MemTotal"),
    ("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir"), ("Debug Mode", "Debug"),
    ("Experimental", "ExperimentalBuild"), ("Live Restore Enabled", "LiveRestoreEnabled"),
)  # fmt: skip


def show_info(session: Session, options: Options, arguments: list[str]) -> int:
    found = session.client.call("GET", "/info")
    found["ClientInfo"] = {"Version": __version__, "Context": "default", "Debug": False}
    if options.format:
        from engine.cli.template import parse_format

        template, _ = parse_format(options.format)
        out(for_terminal(template.execute(found) + "\n"))
        return 0
    out("".join(printable(line) + "\n" for line in _lines(found)))
    for warning in found.get("Warnings") or ():
        err(warning)
    return 0


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield from ("Client:", f" Version:    {__version__}", "", "Server:")
    yield f" Containers: {found.get('Containers', 0)}"
    for state in ("Running", "Paused", "Stopped"):
        yield f"  {state}: {found.get(f'Containers{state}', 0)}"
    yield f" Images: {found.get('Images', 0)}"
    yield f" Server Version: {found.get('ServerVersion', '')}"
    yield f" Storage Driver: {found.get('Driver', '')}"
    for name, value in found.get("DriverStatus") or ():
        yield f"  {name}: {value}"
    yield f" Logging Driver: {found.get('LoggingDriver', '')}"
    yield from _plugins(found.get("Plugins") or {})
    yield from _runtimes(found)
    yield from _security(found.get("SecurityOptions") or ())
    for title, key in _FIELDS:
        value = found.get(key)
        if value is None or value == "":
            continue
        if key == "MemTotal":
            value = binary_size(value)
        yield f" {title}: {str(value).lower() if isinstance(value, bool) else value}"
    if found.get("Labels"):
        yield " Labels:"
        yield from (f"  {label}" for label in found["Labels"])


def _plugins(plugins: dict[str, list[str] | None]) -> Iterator[str]:
    yield " Plugins:"
    for kind in ("Volume", "Network", "Log"):
        if plugins.get(kind):
            yield f"  {kind}: {' '.join(sorted(plugins[kind] or ()))}"


def _runtimes(found: dict[str, Any]) -> Iterator[str]:
    if runtimes := found.get("Runtimes"):
        yield f" Runtimes: {' '.join(sorted(runtimes))}"


def _security(options: list[str]) -> Iterator[str]:
    """"name=seccomp,profile=default" becomes two lines."""
    if not options:
        return
    yield " Security Options:"
    for option in options:
        fields = dict(field.partition("=")[::2] for field in option.split(","))
        yield f"  {fields.pop('name', option)}"
        yield from (f"   {name.capitalize()}: {value}" for name, value in fields.items())


INFO = Command(
    show_info,
    "[OPTIONS]",
    text("-f, --format", "Format output: 'json', or a Go TEMPLATE, as in '{{.Containers}}'"),
    most=0,
    examples="docket info\ndocket info -f '{{.CgroupVersion}}'",
)
