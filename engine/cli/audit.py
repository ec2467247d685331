"""``docket audit``: what the event log knows of an object, and whether the log itself is whole."""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.flags import Options, switch, text
from engine.cli.listing import UNBOUNDED, fitted, for_terminal, room, short_id, shorten
from engine.cli.output import STDOUT, CommandError, out, printable
from engine.cli.session import Session
from engine.client import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

NOUNS = (
    "container", "image", "layer", "volume", "network", "exec", "endpoint", "build", "cache", "document", "remap",
    "runtime", "prune",
)  # fmt: skip
_SHOWN_CHARACTERS = 60
WITH_EVERYTHING, _WITH_CAUSE, _WITH_PID = 200, 132, 100
"""Columns of a terminal from which on a table has program and microseconds, causes, pids."""
_POINTERS = ("_digest", "container_id", "image_id", "build_id", "_at_us")
_FIRST = ("source", "reference", "outcome", "instruction", "reason")
"""Where something came from is what people look for."""


def show_trail(session: Session, options: Options, arguments: list[str]) -> int:
    if options.noun and options.noun not in NOUNS:
        raise CommandError(f'"{options.noun}" is not a valid value for --type: use {", ".join(NOUNS)}')
    query = _project_query(options, arguments) if options.project else _object_query(options, arguments)
    records = session.client.call("GET", "/docket/audit/trail", query=query)
    if options.format == "json":
        out("".join(jsontext.encode(record, ascii_only=os.isatty(STDOUT)) + "\n" for record in records))
    elif options.format:
        from engine.cli.template import parse_format

        template, _ = parse_format(options.format)
        out(for_terminal("".join(template.execute(record) + "\n" for record in records)))
    else:
        out(_trail_table(records, whole=options.no_trunc))
    return 0


def _project_query(options: Options, arguments: list[str]) -> dict[str, Any]:
    if arguments or options.noun:
        raise CommandError("--project goes with neither a name nor --noun")
    return {"project": options.project}


def _object_query(options: Options, arguments: list[str]) -> dict[str, Any]:
    if not arguments:
        raise CommandError("'docket audit trail' requires at least 1 argument, or --project")
    noun, name = (options.noun, arguments[0]) if len(arguments) == 1 else arguments
    if noun and noun not in NOUNS:
        raise CommandError(f'there is no kind of object named "{noun}": use {", ".join(NOUNS)}')
    return {"id": name, "noun": noun or None}


def _trail_table(records: Sequence[dict[str, Any]], *, whole: bool) -> str:
    columns = UNBOUNDED if whole else room()
    rows = [_trail_row(record, columns, whole=whole) for record in records]
    header = ["SEQ", "TIME", "EVENT", "WHO", "CAUSE", "FACTS"]
    if columns < _WITH_CAUSE:
        for row in (header, *rows):
            del row[4]
    return fitted([header, *rows], columns)


def _trail_row(record: dict[str, Any], columns: int, *, whole: bool) -> list[str]:
    usual = () if whole else record.get("defaults", ())
    facts = facts_of({name: value for name, value in record["data"].items() if name not in usual}, whole=whole)
    return [
        str(record["seq"]), moment(record["time"], columns), record["type"], who(record["actor"], columns),
        cause(record["causation"], whole=whole), facts if whole else shorten(facts, _SHOWN_CHARACTERS),
    ]  # fmt: skip


def moment(time: str, columns: int) -> str:
    """To the second, where room is short."""
    return time if columns >= WITH_EVERYTHING else f"{time[:19]}Z"


def who(actor: dict[str, Any], columns: int) -> str:
    """"cli uid 0 pid 42 /usr/bin/docket", or who came over TLS: "cli CN=alice 10.0.0.7:50312". A program that could not
    be checked carries a question mark. Where room is short, program and pid are left out."""
    parts = [str(actor.get("door", "?"))]
    parts += [str(actor[name]) for name in ("subject", "address") if actor.get(name)]
    numbers = ("uid", "pid") if columns >= _WITH_PID else ("uid",)
    parts += [f"{name} {actor[name]}" for name in numbers if actor.get(name) is not None]
    if (program := actor.get("program")) and columns >= WITH_EVERYTHING:
        parts.append(f"{program}{'' if actor.get('program_checked') else '?'}")
    return " ".join(parts)


def cause(causation: str, *, whole: bool) -> str:
    """The request, the compose command or the event that led here; a request's long id is cut."""
    kind, _, name = causation.partition(":")
    return f"{kind}:{name if whole or kind == 'compose' else name[:12]}"


def facts_of(data: dict[str, Any], prefix: str = "", *, whole: bool) -> str:
    """What an event says, as name=value; what it leaves empty is left out. Not ``whole``: without what repeats the
    object or the time or only points at a document, and with short ids. Plain values come first, sources before all."""
    words = []
    for name, value in sorted(data.items(), key=_rank):
        if value in (None, "", [], {}) or (not whole and (value is False or name.endswith(_POINTERS))):
            continue
        if isinstance(value, dict):
            words.append(facts_of(value, f"{prefix}{name}.", whole=whole))
        else:
            shown = value if isinstance(value, str) else jsontext.encode(value)
            words.append(f"{prefix}{name}={short_id(shown) if not whole and _is_id(shown) else shown}")
    return " ".join(filter(None, words))


def _rank(item: tuple[str, Any]) -> tuple[bool, int]:
    name, value = item
    return isinstance(value, (dict, list)), _FIRST.index(name) if name in _FIRST else len(_FIRST)


def _is_id(text_shown: str) -> bool:
    digits = text_shown.removeprefix("sha256:")
    return len(digits) == 64 and not digits.strip("0123456789abcdef")


def verify_log(session: Session, options: Options, arguments: list[str]) -> int:
    """0 if the log is whole, 1 if not: each problem is a line."""
    root = os.path.abspath(options.runtime_root) if options.runtime_root else None
    query = {"against": options.against or None, "runtime-root": root, "log-only": options.log_only}
    report = session.client.call("GET", "/docket/audit/verify", query=query)
    if options.format == "json":
        out(jsontext.encode(report) + "\n")
        return 0 if report["ok"] else 1
    for problem in report["problems"]:
        out(printable(f"event {problem['seq']}: {problem['what']}") + "\n")
    head = report["head"]
    events = f"{report['events']} event{'' if report['events'] == 1 else 's'}"
    if report["problems"]:
        count = len(report["problems"])
        raise CommandError(f"the log is NOT whole: {count} problem{'' if count == 1 else 's'} in {events}")
    out(f"the log is whole: {events}, head {head['published']}\n")
    if runtime := report.get("runtime"):
        if runtime["problem"]:
            raise CommandError(f"the journal of {runtime['root']} is NOT whole: {runtime['problem']}")
        out(f"the journal of {runtime['root']} is whole: {runtime['lines']} lines, head {runtime['head']}\n")
    return 0


def redact(session: Session, options: Options, arguments: list[str]) -> int:
    noun, name = (options.noun, arguments[0]) if len(arguments) == 1 else arguments
    if noun and noun not in NOUNS:
        raise CommandError(f'there is no kind of object named "{noun}": use {", ".join(NOUNS)}')
    if not options.reason:
        raise CommandError("say why, by --reason: it is all that is left to read")
    body = {"Name": name, "Noun": noun, "Reason": options.reason}
    answer = session.client.call("POST", "/docket/audit/redact", body)
    out("".join(f"{one['digest']}\n" for one in answer["Redacted"]))
    return 0


def show_head(session: Session, options: Options, arguments: list[str]) -> int:
    out(session.client.call("GET", "/docket/audit/head")["published"] + "\n")
    return 0


TRAIL = Command(
    show_trail,
    "[OPTIONS] [[KIND] NAME|ID]",
    text("--format", "Format output: 'json' (a line each), or a Go TEMPLATE, as in '{{.seq}} {{.type}}'"),
    switch("--no-trunc", "Don't truncate output"),
    text("--noun", f"Only objects of this kind: {', '.join(NOUNS)}"),
    text("--project", "Everything of this compose project, and which command led to it"),
    most=2,
    examples="""
docket audit trail web
docket audit trail network app
docket audit trail --project shop
docket audit trail --noun container --format json web
docket audit trail --format '{{.time}} {{.type}} {{.actor.uid}}' web
""",
)
VERIFY = Command(
    verify_log,
    "[OPTIONS]",
    text("--against", "Also check that the log still holds this published head (SEQ:HASH)"),
    switch("--log-only", "Only the events, not also each row of state against a replay of them: a third of the time"),
    text("--runtime-root", "Also check the journal of a docket-runtime with this --root"),
    text("--format", "Format output: 'json'"),
    most=0,
    examples="""
docket audit verify
docket audit verify --log-only --against "$(cat head-of-yesterday)"
""",
)
HEAD = Command(show_head, "", most=0, examples="docket audit head > head-of-today")
REDACT = Command(
    redact,
    "[OPTIONS] [KIND] DIGEST|NAME|ID",
    text("--noun", f"Only objects of this kind: {', '.join(NOUNS)}"),
    text("--reason", "Why: stays on record (required)"),
    least=1,
    most=2,
    examples="""
docket audit redact --reason 'a password was in its environment' web
docket audit redact --reason 'asked for by the customer' "$DIGEST"
docket audit trail web
docket audit verify
""",
)
