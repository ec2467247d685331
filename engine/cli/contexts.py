"""``docket context``: named endpoints, in Docker's store (engine.client.contexts)."""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.flags import Flag, Options, switch, text
from engine.cli.listing import Row, format_flag, show
from engine.cli.output import CommandError, err, out
from engine.cli.session import Session
from engine.client import jsontext
from engine.client.address import parse_address
from engine.client.contexts import DEFAULT, ENDPOINT, TLS_NAMES, Context, ContextStore, check_name
from engine.client.endpoint import chosen_context
from engine.client.errors import ClientError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEADERS = {
    "Name": "NAME", "Current": "CURRENT", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT",
    "Error": "ERROR",
}  # fmt: skip
_TLS_KEYS = dict(zip(("ca", "cert", "key"), TLS_NAMES))
_ENDPOINT_KEYS = ("from", "host", *_TLS_KEYS, "skip-tls-verify")
_IN_MEMORY = "<IN MEMORY>"


def _current(session: Session) -> str:
    return chosen_context(session.host, session.context, local=session.is_local)


def _default(session: Session) -> Context:
    """What commands speak with that no context tells otherwise."""
    plain = Session(session.host, session.root if session.is_local else "", session.run_dir if session.is_local else "",
                    "" if session.host else DEFAULT)  # fmt: skip
    endpoint = {"Host": str(plain.address), "SkipTLSVerify": False}
    return Context(DEFAULT, {}, {ENDPOINT: endpoint})


def get(session: Session, store: ContextStore, name: str) -> Context:
    """A context of the store, or the default one. Raises ClientError."""
    return _default(session) if name == DEFAULT else store.get(name)


# --- what there is -------------------------------------------------------------------------------------------------


def list_contexts(session: Session, options: Options, arguments: list[str]) -> int:
    store, current = ContextStore(), _current(session)
    default = _default(session)
    default.metadata = {"Description": "Current DOCKET_HOST based configuration"}
    found = sorted([default, *store.all()], key=lambda context: context.name)
    if options.quiet:
        out("".join(f"{context.name}\n" for context in found))
        return 0
    rows = [_row(context, current, star=options.format in ("", "table")) for context in found]
    if current not in [context.name for context in found]:
        broken = Context(current, {}, {})
        rows.append(_row(broken, current, star=options.format in ("", "table"), error=_why(store, current)))
    columns = [(_HEADERS[field], field) for field in ("Name", "Description", "DockerEndpoint", "Error")]
    show(rows, columns, options.format, _HEADERS)
    return 0


def _why(store: ContextStore, name: str) -> str:
    try:
        store.get(name)
    except ClientError as error:
        return str(error)
    return ""


def _row(context: Context, current: str, *, star: bool, error: str = "") -> Row:
    is_current = context.name == current
    return Row(
        Name=f"{context.name} *" if star and is_current else context.name,
        Description=context.description,
        DockerEndpoint=context.host,
        Current=is_current,
        Error=error,
    )


def inspect_contexts(session: Session, options: Options, arguments: list[str]) -> int:
    store = ContextStore()
    found, failures = [], []
    for name in arguments or [_current(session)]:
        try:
            found.append(_details(session, store, name))
        except ClientError as error:
            failures.append(str(error))
    if options.format in ("", "json"):
        encoded = jsontext.encode(found)
        out((encoded if options.format else jsontext.indent(encoded)) + "\n")
    else:
        from engine.cli.listing import for_terminal
        from engine.cli.template import parse_format

        template, _ = parse_format(options.format)
        out(for_terminal("".join(template.execute(value) + "\n" for value in found)))
    for failure in failures:
        err(failure)
    return 1 if failures else 0


def _details(session: Session, store: ContextStore, name: str) -> dict[str, Any]:
    context = get(session, store, name)
    if name == DEFAULT:
        material, places = [], {"MetadataPath": _IN_MEMORY, "TLSPath": _IN_MEMORY}
    else:
        material = store.tls_files(name)
        places = {"MetadataPath": store.meta_folder(name), "TLSPath": store.tls_folder(name)}
    return {**context.document(), "TLSMaterial": {ENDPOINT: material} if material else {}, "Storage": places}


def show_current(session: Session, options: Options, arguments: list[str]) -> int:
    out(_current(session) + "\n")
    return 0


# --- changes -------------------------------------------------------------------------------------------------------


def _parse_endpoint(given: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in filter(None, given.split(",")):
        key, found, value = part.partition("=")
        if not found:
            raise ValueError(f"{part} must be formatted as key=value")
        pairs.append((key.strip(), value.strip()))
    return tuple(pairs)


def _endpoint(session: Session, store: ContextStore, given: dict[str, str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The endpoint and its certificates by what ``--docker`` says. Raises CommandError."""
    if unknown := [key for key in given if key not in _ENDPOINT_KEYS]:
        raise CommandError(f"unable to create docker endpoint config: unrecognized config key: {unknown[0]}")
    if source := given.get("from"):
        if len(given) > 1:
            raise CommandError("unable to create docker endpoint config: from excludes all other keys")
        return _copied(session, store, source)
    host = given.get("host", "")
    if not host:
        raise CommandError("unable to create docker endpoint config: host is required")
    parse_address(host)
    skip = given.get("skip-tls-verify", "false").lower()
    if skip not in ("true", "false", "1", "0"):
        raise CommandError(f'unable to create docker endpoint config: skip-tls-verify: "{skip}" is no boolean')
    tls = {_TLS_KEYS[key]: read_file(os.path.expanduser(given[key])) for key in _TLS_KEYS if given.get(key)}
    if ("cert.pem" in tls) != ("key.pem" in tls):
        raise CommandError("unable to create docker endpoint config: cert and key go together")
    return {"Host": host, "SkipTLSVerify": skip in ("true", "1")}, tls


def _copied(session: Session, store: ContextStore, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    endpoint = get(session, store, name).endpoints.get(ENDPOINT)
    if not isinstance(endpoint, dict):
        raise CommandError(f'context "{name}" has no docker endpoint')
    return endpoint, material(store, name)


def material(store: ContextStore, name: str) -> dict[str, bytes]:
    """Its certificates, by the names of their files."""
    folder = os.path.join(store.tls_folder(name), ENDPOINT)
    return {file: read_file(os.path.join(folder, file)) for file in ([] if name == DEFAULT else store.tls_files(name))}


def read_file(path: str) -> bytes:
    """Raises CommandError in Docker's words."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or str(error)).lower()}") from error


def exists(store: ContextStore, name: str) -> bool:
    """Whether the store has it."""
    return name in [context.name for context in store.all()]


def create_context(session: Session, options: Options, arguments: list[str]) -> int:
    store, name = ContextStore(), check_name(arguments[0])
    if exists(store, name):
        raise CommandError(f'context "{name}" already exists')
    metadata: dict[str, Any] = {}
    if options.docker:
        endpoint, tls = _endpoint(session, store, dict(options.docker))
    else:
        source = options.copied or _current(session)
        endpoint, tls = _copied(session, store, source)
        metadata = dict(get(session, store, source).metadata)
    if options.description:
        metadata["Description"] = options.description
    store.put(Context(name, metadata, {ENDPOINT: endpoint}), tls)
    out(f"{name}\n")
    err(f'Successfully created context "{name}"')
    return 0


def update_context(session: Session, options: Options, arguments: list[str]) -> int:
    store, name = ContextStore(), check_name(arguments[0])
    context, tls = store.get(name), None
    if "description" in options.given:
        context.metadata = {**context.metadata, "Description": options.description}
    if options.docker:
        endpoint, tls = _endpoint(session, store, dict(options.docker))
        context.endpoints = {**context.endpoints, ENDPOINT: endpoint}
    store.put(context, tls)
    out(f"{name}\n")
    err(f'Successfully updated context "{name}"')
    return 0


def use_context(session: Session, options: Options, arguments: list[str]) -> int:
    store, name = ContextStore(), arguments[0]
    if name != DEFAULT:
        store.get(name)
    store.use(name)
    out(f"{name}\n")
    err(f'Current context is now "{name}"')
    for variable in ("DOCKET_HOST", "DOCKET_CONTEXT", "DOCKET_RUN", "DOCKET_ROOT", "DOCKER_HOST", "DOCKER_CONTEXT"):
        if os.environ.get(variable) and (name != DEFAULT or variable.endswith("CONTEXT")):
            err(f"Warning: {variable} environment variable overrides the active context. To use \"{name}\", either set "
                f"the global --context flag, or unset {variable} environment variable.")  # fmt: skip
            break
    return 0


def remove_contexts(session: Session, options: Options, arguments: list[str]) -> int:
    store, current, failures = ContextStore(), _current(session), 0
    for name in arguments:
        try:
            if name == DEFAULT:
                raise CommandError('context "default" cannot be removed')
            if not exists(store, name):
                if options.force:
                    continue
                raise CommandError(f'context "{name}" does not exist')
            if name == current and not options.force:
                raise CommandError(f'context "{name}" is in use, set -f flag to force remove')
            store.remove(name)
            if name == store.current:
                store.use(DEFAULT)
            out(f"{name}\n")
        except (CommandError, ClientError) as error:
            err(str(error))
            failures += 1
    return 1 if failures else 0


# --- commands ------------------------------------------------------------------------------------------------------

_DESCRIPTION = text("--description", "Description of the context")


def _docker_flag() -> Flag:
    return text(
        "--docker",
        "The endpoint: host=HOST, or from=CONTEXT; for TLS ca=FILE,cert=FILE,key=FILE or skip-tls-verify=true",
        "",
        "map",
        _parse_endpoint,
    )


def _from_flag() -> Flag:
    flag = text("--from", "Create the context from a named context")
    flag.attribute = "copied"  # "from" is a word of Python's
    return flag


CREATE = Command(
    create_context,
    "[OPTIONS] CONTEXT",
    _DESCRIPTION,
    _docker_flag(),
    _from_flag(),
    least=1,
    most=1,
    examples="""
docket context create prod --docker host=ssh://admin@prod.example
docket context create prod --docker "host=tcp://prod.example:2376,ca=ca.pem,cert=cert.pem,key=key.pem"
docket --context prod ps
docket context use prod
""",
)
UPDATE = Command(
    update_context,
    "[OPTIONS] CONTEXT",
    _DESCRIPTION,
    _docker_flag(),
    least=1,
    most=1,
    examples="docket context update prod --description 'behind the firewall'",
)
LIST = Command(
    list_contexts,
    "[OPTIONS]",
    format_flag(),
    switch("-q, --quiet", "Only show context names"),
    most=0,
    examples="docket context ls\ndocket context ls --format '{{.Name}} {{.DockerEndpoint}}'",
)
INSPECT = Command(
    inspect_contexts,
    "[OPTIONS] [CONTEXT...]",
    text("-f, --format", "Format output: 'json', or a Go TEMPLATE, as in '{{.Endpoints.docker.Host}}'"),
    examples="docket context inspect\ndocket context inspect -f '{{.Endpoints.docker.Host}}' prod",
)
SHOW = Command(show_current, "", most=0, examples="docket context show")
USE = Command(use_context, "CONTEXT", least=1, most=1, examples="docket context use prod\ndocket context use default")
REMOVE = Command(
    remove_contexts,
    "[OPTIONS] CONTEXT [CONTEXT...]",
    switch("-f, --force", "Force the removal of a context in use"),
    least=1,
    examples="docket context rm prod",
)
