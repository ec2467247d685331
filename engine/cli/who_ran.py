"""``docket audit who-ran``: which starts had these powers, when, and on whose word."""

from __future__ import annotations

import os

from engine.cli.audit import moment, who
from engine.cli.command import Command
from engine.cli.flags import Options, switch, text
from engine.cli.listing import UNBOUNDED, fitted, for_terminal, room, short_id
from engine.cli.output import STDOUT, CommandError, out
from engine.cli.session import Session
from engine.client import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence


def show_who_ran(session: Session, options: Options, arguments: list[str]) -> int:
    """``--between T1 T2``: the second moment comes as an argument."""
    if bool(options.between) != bool(arguments):
        raise CommandError("--between takes two moments: --between T1 T2")
    query = {
        "privileged": options.privileged or None,
        "without-seccomp": options.without_seccomp or None,
        "host-mount": options.host_mount or None,
        "after": options.between or None,
        "until": arguments[0] if arguments else None,
    }
    runs = session.client.call("GET", "/docket/audit/who-ran", query=query)
    if options.format == "json":
        out("".join(jsontext.encode(run, ascii_only=os.isatty(STDOUT)) + "\n" for run in runs))
    elif options.format:
        from engine.cli.template import parse_format

        template, _ = parse_format(options.format)
        out(for_terminal("".join(template.execute(run) + "\n" for run in runs)))
    else:
        out(_table(runs, whole=options.no_trunc))
    return 0


def _table(runs: Sequence[dict[str, Any]], *, whole: bool) -> str:
    columns = UNBOUNDED if whole else room()
    rows = [["SEQ", "TIME", "CONTAINER", "NAME", "IMAGE", "WHO", "WITH"]]
    for run in runs:
        container = run["container_id"] if whole else short_id(run["container_id"])
        rows.append([
            str(run["seq"]), moment(run["time"], columns), container, run["name"], run["image"],
            who(run["actor"], columns), ", ".join(run["facts"]),
        ])  # fmt: skip
    return fitted(rows, columns)


WHO_RAN = Command(
    show_who_ran,
    "[OPTIONS]",
    text("--between", "Only between two moments (T1 T2): as --as-of takes them"),
    text("--format", "Format output: 'json' (a line each), or a Go TEMPLATE, as in '{{.time}} {{.name}}'"),
    text("--host-mount", "With a bind mount that shows this path of the host, or something in it"),
    switch("--no-trunc", "Don't truncate output"),
    switch("--privileged", "With all privileges (run or exec --privileged)"),
    switch("--without-seccomp", "Without a seccomp filter, as the kernel confirmed"),
    most=1,
    examples="""
docket audit who-ran --privileged
docket audit who-ran --host-mount /etc --between 2026-11-01 2026-12-01
docket audit who-ran --without-seccomp --between 7d 0s --format json
""",
)
