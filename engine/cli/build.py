"""``docket build``: send a context, show what becomes of it."""

from __future__ import annotations

import os

from engine.cli.build_sources import open_context
from engine.cli.command import Command
from engine.cli.create_values import parse_ulimit
from engine.cli.flags import Options, integer, listed, switch, text
from engine.cli.output import STDOUT, CommandError, encoded, err, out, printable, write_all
from engine.cli.quantities import parse_size, parse_swap
from engine.cli.session import Session
from engine.client import jsontext
from engine.client.credentials import CredentialFile, auth_header
from engine.client.errors import APIError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from engine.client.connection import Response


def build(session: Session, options: Options, arguments: list[str]) -> int:
    if options.ssh:
        raise CommandError("--ssh is not supported: give keys with --secret")
    if options.output:
        raise CommandError("--output is not supported yet: use docket save, or docket cp out of a container")
    if options.cache_from:
        raise CommandError("--cache-from is not supported yet: steps are reused from the cache of this engine alone")
    query = _query(options)
    headers = {"X-Docket-Secrets": _secrets(options.secret)} if options.secret else {}
    headers |= _registry_config()
    with open_context(arguments[0], options.file) as context:
        query.append(("dockerfile", context.dockerfile))
        response = session.client.stream(
            "POST", "/build", query=query, upload=context.pieces(), headers=headers
        )  # fmt: skip
        image_id = _show(response, quiet=options.quiet, explain=options.explain)
        response.close()
    if options.iidfile:
        with open(options.iidfile, "w", encoding="ascii") as file:
            file.write(image_id)
    return 0


def _query(options: Options) -> list[tuple[str, Any]]:
    limits: list[tuple[str, Any]] = [
        ("memory", options.memory or None), ("memswap", options.memory_swap or None),
        ("cpushares", options.cpu_shares or None), ("cpuperiod", options.cpu_period or None),
        ("cpuquota", options.cpu_quota or None), ("cpusetcpus", options.cpuset_cpus or None),
        ("cpusetmems", options.cpuset_mems or None), ("cgroupparent", options.cgroup_parent or None),
        ("shmsize", options.shm_size or None), ("ulimits", list(options.ulimit) or None),
        ("extrahosts", ",".join(options.add_host) or None),
    ]  # fmt: skip
    return [
        ("docket", True), *(("t", name) for name in options.tag),
        ("buildargs", _arguments(options.build_arg) or None), ("labels", _labels(options.label) or None),
        ("nocache", options.no_cache), ("pull", options.pull), ("target", options.target or None),
        ("rm", None if options.rm else "0"), ("forcerm", options.force_rm),
        ("networkmode", options.network if options.network != "default" else None),
        ("platform", options.platform or None), *limits,
    ]  # fmt: skip


def _arguments(given: list[str]) -> dict[str, Any]:
    """``NAME=VALUE``, or ``NAME`` for the value that it has here; and the proxies of the user's configuration."""
    found: dict[str, Any] = dict(CredentialFile().proxies())
    for word in given:
        name, has_value, value = word.partition("=")
        if not name:
            raise CommandError(f"invalid build argument {word!r}: NAME=VALUE is expected")
        if has_value:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _labels(given: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in given)}


def _secrets(given: list[str]) -> str:
    """Base64 of a JSON object: id -> base64 of the value."""
    import base64

    found = {}
    for word in given:
        fields = dict(part.partition("=")[::2] for part in word.split(","))
        name = fields.get("id") or os.path.basename(fields.get("src") or fields.get("source") or "")
        if not name:
            raise CommandError(f"invalid secret {word!r}: id=NAME[,src=FILE|,env=VARIABLE] is expected")
        path, variable = fields.get("src") or fields.get("source"), fields.get("env")
        if path and fields.get("type") != "env":
            try:
                with open(path, "rb") as file:
                    value = file.read()
            except OSError as error:
                raise CommandError(f"secret {name}: open {path}: {(error.strerror or '').lower()}") from error
        else:
            variable = variable or path or name
            if variable not in os.environ:
                raise CommandError(f"secret {name}: neither a file nor a variable {variable} is there")
            value = os.environb[os.fsencode(variable)]
        found[name] = base64.b64encode(value).decode()
    return base64.b64encode(jsontext.encode(found).encode()).decode()


def _registry_config() -> dict[str, str]:
    known = CredentialFile().all()
    return {"X-Registry-Config": auth_header(known)} if known else {}  # type: ignore[arg-type]


# --- showing ---


def _show(response: Response, *, quiet: bool, explain: bool) -> str:
    """Answers with the image's id. Raises CommandError with the status of the command that failed."""
    image_id, kept = "", []
    for line in response.lines():
        message: dict[str, Any] = jsontext.decode(line)
        if "error" in message:
            detail = message.get("errorDetail") or {}
            for piece in kept:
                err(piece)
            raise CommandError(printable(message["error"], keep="\n"), detail.get("code") or 1)
        if "aux" in message:
            image_id = message["aux"].get("ID", image_id)
            continue
        said = _said(message, explain=explain)
        if quiet:
            kept = [*kept[-200:], said]
        elif said:
            write_all(STDOUT, encoded(said))
    if not image_id:
        raise APIError(500, "the engine ended the build without an image")
    if quiet:
        out(image_id + "\n")
    return image_id


def _said(message: dict[str, Any], *, explain: bool) -> str:
    if "stream" in message:
        text = printable(message["stream"], keep="\n\t\r")
        return " ---> CACHED\n" if text == " ---> Using cache\n" else text
    if "status" in message:
        return printable(message["status"]) + "\n"
    own = message.get("docket") or {}
    if own.get("outcome") == "made":
        return f" ---> made in {own['duration_us'] / 1e6:.1f} s\n"
    return f" ---> not cached: {printable(own['miss'])}\n" if explain and "miss" in own else ""


def _progress(value: str) -> str:
    if value not in ("auto", "plain"):
        raise ValueError("use auto or plain: both are lines, one after the other")
    return value


BUILD = Command(
    build,
    "[OPTIONS] PATH | URL | -",
    listed("--add-host", "Add a custom host-to-IP mapping (\"host:ip\")"),
    listed("--build-arg", "Set build-time variables"),
    listed("--cache-from", "Images to consider as cache sources (not supported yet)"),
    text("--cgroup-parent", "Set the parent cgroup for the RUN instructions during build"),
    integer("--cpu-period", "Limit the CPU CFS (Completely Fair Scheduler) period"),
    integer("--cpu-quota", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
    integer("-c, --cpu-shares", "CPU shares (relative weight)"),
    text("--cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    text("--cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    switch("--explain", "Say of every step that is not cached what has changed since it was"),
    text("-f, --file", "Name of the Dockerfile (\"PATH/Dockerfile\" by default; - for standard input)"),
    switch("--force-rm", "Always remove intermediate containers"),
    text("--iidfile", "Write the image ID to the file"),
    listed("--label", "Set metadata for an image"),
    text("-m, --memory", "Memory limit", kind="bytes", parse=parse_size),
    text("--memory-swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap", kind="bytes",
         parse=parse_swap),
    text("--network", "Set the networking mode for the RUN instructions during build", "default"),
    switch("--no-cache", "Do not use cache when building the image"),
    listed("-o, --output", "Output destination"),
    text("--platform", "Set platform if server is multi-platform capable"),
    text("--progress", "Type of progress output (auto, plain)", "auto", parse=_progress),
    switch("--pull", "Always attempt to pull a newer version of the image"),
    switch("-q, --quiet", "Suppress the build output and print image ID on success"),
    switch("--rm", "Remove intermediate containers after a successful build", True),
    listed("--secret", "Secret to expose to the build (\"id=mysecret[,src=/local/secret]\")"),
    text("--shm-size", "Size of \"/dev/shm\"", kind="bytes", parse=parse_size),
    listed("--ssh", "SSH agent socket or keys to expose to the build"),
    listed("-t, --tag", "Name and optionally a tag in the \"name:tag\" format"),
    text("--target", "Set the target build stage to build"),
    listed("--ulimit", "Ulimit options", kind="ulimit", parse=parse_ulimit),
    least=1,
    most=1,
    examples="""
docket build -t app:1 .
docket build -t app:1 -f docker/Dockerfile --build-arg VERSION=2 --target test .
docket build --explain .
tar -c . | docket build -
docket build - < Dockerfile
docket build https://example.org/project.git#main:docker
""",
)  # fmt: skip
