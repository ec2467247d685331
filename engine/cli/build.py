"""``docket build``: send a context, show what becomes of it."""

from __future__ import annotations

import os

from engine.cli.build_outputs import ArchiveStream, Output, frames_of, parse_output
from engine.cli.build_progress import MODES, Plain, parse_mode, progress_of
from engine.cli.build_sources import open_context
from engine.cli.command import Command
from engine.cli.create_values import parse_ulimit
from engine.cli.flags import Options, content_trust, integer, listed, switch, text
from engine.cli.output import STDERR, STDOUT, CommandError, out, printable
from engine.cli.push import push_image
from engine.cli.quantities import parse_size, parse_swap
from engine.cli.session import Session
from engine.client import jsontext
from engine.client.agents import Agents, parse_agents
from engine.client.cache_options import check_targets, images_of
from engine.client.credentials import CredentialFile, auth_header
from engine.client.errors import APIError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

    from engine.cli.build_sources import Context
    from engine.client.connection import Response

_TICK_MS = 200


def build(session: Session, options: Options, arguments: list[str]) -> int:
    check_targets(options.cache_to, "--cache-to")
    _check_push(options)
    output = parse_output(options.output)
    if output is not None:
        output.prepare()
    progress = _progress(options, output)
    query = _query(options, output, str(session.client.address))
    headers = {"X-Docket-Secrets": _secrets(options.secret)} if options.secret else {}
    headers |= _registry_config()
    agents = Agents(parse_agents(options.ssh, os.environ), session.client.address)
    with open_context(arguments[0], options.file, dict(options.build_context)) as context, agents as joined:
        query += [("dockerfile", context.dockerfile), ("remote", context.remote or None)]
        query.append(("contexts", context.named or None))
        upload = context.pieces(options.compress)
        try:
            response = session.client.stream(
                "POST", "/build", query=query, upload=upload, headers={**headers, **joined}
            )  # fmt: skip
        except APIError as error:
            raise APIError(error.status, _as_typed(str(error), context, options)) from error
        listener = Listener(progress)
        try:
            if output is not None and output.archive:
                _take(response, output, listener)
            else:
                for line in lines_of(response, progress.tick):
                    listener.hear(line)
        except BaseException:
            progress.end(failed=True)
            raise
        progress.end(failed=bool(listener.error))
        response.close()
        listener.error = _as_typed(listener.error, context, options)
    _end(listener, options, output)
    if options.push:
        for name in options.tag:
            push_image(session, name, quiet=options.quiet)
    return 0


def _as_typed(message: str, context: Context, options: Options) -> str:
    """A Dockerfile from outside of the context travels under a name that nobody has typed."""
    apart = context.dockerfile.startswith(".dockerfile.")
    return message.replace(context.dockerfile, options.file) if apart else message


def _check_push(options: Options) -> None:
    if options.output and (options.push or options.load):
        raise CommandError("--output takes the result elsewhere: without --push and --load, then")
    if options.push and not options.tag:
        raise CommandError("--push needs a name to push: --tag")


def _progress(options: Options, output: Output | None) -> Plain:
    mode = "quiet" if options.quiet else options.progress or os.environ.get("BUILDKIT_PROGRESS") or "auto"
    fd = STDERR if output is not None and output.to_stdout else STDOUT
    try:
        return progress_of(parse_mode(mode), fd, explain=options.explain)
    except ValueError as error:
        raise CommandError(str(error)) from error


def _take(response: Response, output: Output, listener: Listener) -> None:
    """Let the archive come to its place, as soon as it comes at all."""
    stream = ArchiveStream(frames_of(pieces_of(response, listener.progress.tick)), listener.hear)
    if stream.begins():
        try:
            output.take(stream)  # type: ignore[arg-type]
        except OSError as error:
            if listener.error:
                return  # it was cut off
            raise CommandError(f"--output {output.dest}: {(error.strerror or str(error)).lower()}") from error
    while stream.read(1 << 18):
        continue


def _end(listener: Listener, options: Options, output: Output | None) -> None:
    """Raises CommandError with the status of the command that failed."""
    if listener.error:
        raise CommandError(printable(listener.error, keep="\n"), listener.code or 1)
    wants_image = bool(options.tag) or output is None or not output.archive
    if wants_image and not listener.image_id:
        raise APIError(500, "the engine ended the build without an image")
    if options.quiet and listener.image_id and not (output is not None and output.to_stdout):
        out(listener.image_id + "\n")
    if options.iidfile and listener.image_id:
        with open(options.iidfile, "w", encoding="ascii") as file:
            file.write(listener.image_id)


def _query(options: Options, output: Output | None, host: str) -> list[tuple[str, Any]]:
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
        *(("t", name) for name in (output.names if output else ())), ("output", output and output.archive or None),
        ("cachefrom", images_of(options.cache_from, "--cache-from") or None),
        ("buildargs", _arguments(options.build_arg, host) or None), ("labels", _labels(options.label) or None),
        ("nocache", options.no_cache), ("pull", options.pull), ("target", options.target or None),
        ("rm", None if options.rm else "0"), ("forcerm", options.force_rm),
        ("networkmode", options.network if options.network != "default" else None),
        ("platform", options.platform or None), *(("allow", name) for name in options.allow), *limits,
    ]  # fmt: skip


def _named_context(given: str) -> tuple[str, str]:
    name, _, place = given.partition("=")
    if not name or not place:
        raise ValueError("use name=path, name=docker-image://image or the address of a git repository")
    return name, place


def _arguments(given: list[str], host: str) -> dict[str, Any]:
    """``NAME=VALUE``, or ``NAME`` for the value that it has here; and the proxies of the user's configuration."""
    found: dict[str, Any] = dict(CredentialFile().proxies(host))
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


# --- hearing ---


class Listener:
    """Takes the lines of the engine's answer apart: what is shown, and what became of it."""

    def __init__(self, progress: Plain) -> None:
        self.progress = progress
        self.image_id = ""
        self.error = ""
        self.code = 0

    def hear(self, line: bytes) -> None:
        self.progress.hear(line)
        message: dict[str, Any] = jsontext.decode(line)
        if "error" in message:
            self.error = message["error"]
            self.code = (message.get("errorDetail") or {}).get("code") or 0
        elif "aux" in message:
            self.image_id = message["aux"].get("ID", self.image_id)
        else:
            self.progress.show(message)


def pieces_of(response: Response, tick: Callable[[], None]) -> Iterator[bytes]:
    """The body as it comes; ``tick`` is called while nothing does."""
    from select import POLLIN, poll

    waiting = poll()
    waiting.register(response.connection.fileno(), POLLIN)
    while not response.complete:
        if not response.connection.has_early_bytes and not waiting.poll(_TICK_MS):
            tick()
            continue
        if not (piece := response.read_some()):
            return
        yield piece


def lines_of(response: Response, tick: Callable[[], None]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces_of(response, tick):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.rstrip(b"\r") for line in whole if line.strip())
    if rest.strip():
        yield rest


BUILD = Command(
    build,
    "[OPTIONS] PATH | URL | -",
    listed("--add-host", "Add a custom host-to-IP mapping (\"host:ip\")"),
    listed("--allow", "Allow extra privileged entitlement (\"network.host\", \"security.insecure\")"),
    listed("--build-arg", "Set build-time variables"),
    listed("--build-context", "Additional contexts that FROM and --from may name (\"name=path\", "
           "\"name=docker-image://image\")", "stringArray", _named_context),
    listed("--cache-from", "Images whose steps may be used, where they say what these depended on"),
    listed("--cache-to", "Where the steps of the build go for others (\"type=inline\": into the image)"),
    text("--cgroup-parent", "Set the parent cgroup for the RUN instructions during build"),
    switch("--compress", "Compress the build context using gzip"),
    content_trust(),
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
    switch("--load", "Keep the image in the engine, as is done anyway"),
    text("-m, --memory", "Memory limit", kind="bytes", parse=parse_size),
    text("--memory-swap", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap", kind="bytes",
         parse=parse_swap),
    text("--network", "Set the networking mode for the RUN instructions during build", "default"),
    switch("--no-cache", "Do not use cache when building the image"),
    listed("-o, --output", "Output destination (\"type=local|tar|oci,dest=path\", a folder, or - for standard output)"),
    text("--platform", "Set platform if server is multi-platform capable"),
    text("--progress", f"Type of progress output ({', '.join(MODES)})", parse=parse_mode),
    switch("--pull", "Always attempt to pull a newer version of the image"),
    switch("--push", "Push the image by each of its tags"),
    switch("-q, --quiet", "Suppress the build output and print image ID on success"),
    switch("--rm", "Remove intermediate containers after a successful build", True),
    listed("--secret", "Secret to expose to the build (\"id=mysecret[,src=/local/secret]\")"),
    text("--shm-size", "Size of \"/dev/shm\"", kind="bytes", parse=parse_size),
    listed("--ssh", "SSH agent socket or keys to expose to the build (\"default|id[=socket|key[,key]]\")"),
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
docket build -o out . && ls out
docket build --cache-from registry.example/app:latest -t app .
docket build --ssh default -t app .
""",
)  # fmt: skip
