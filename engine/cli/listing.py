"""Lists of objects: the default table, ``--format`` (table TEMPLATE, json, TEMPLATE), ``--quiet``, ``--filter``."""

from __future__ import annotations

from engine.cli.flags import Flag, listed, text
from engine.cli.output import out, printable
from engine.cli.table import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

UNBOUNDED = 1 << 16
FORMAT_HELP = (
    "Format output: 'table' (default), 'table TEMPLATE' (with column headers), 'json', or a Go TEMPLATE, as in "
    "'{{.ID}}: {{json .}}'"
)


class Row(dict[str, "Any"]):
    """What one line shows, by field name. Functions among the values take arguments: ``{{.Label "team"}}``."""

    kind = "row"


def format_flag(help: str = FORMAT_HELP, names: str = "--format") -> Flag:
    return text(names, help)


def filter_flag(names: str = "-f, --filter", help: str = "Filter output based on conditions provided") -> Flag:
    return listed(names, help, "filter", _parse_filter)


def _parse_filter(given: str) -> tuple[str, str]:
    name, found, value = given.partition("=")
    if not found:
        raise ValueError("bad format of filter (expected name=value)")
    return name.strip().lower(), value.strip()


def filters_query(filters: Sequence[tuple[str, str]]) -> dict[str, dict[str, bool]] | None:
    """The filters as the API takes them; None where there are none."""
    query: dict[str, dict[str, bool]] = {}
    for name, value in filters:
        query.setdefault(name, {})[value] = True
    return query or None


def show(
    rows: Sequence[Row], columns: Sequence[tuple[str, str]], format: str, headers: dict[str, str],
    raw: Sequence[tuple[str, str]] = (),
) -> None:  # fmt: skip
    """Print the rows. ``columns`` are the default table's (header, field), ``headers`` those of every field, ``raw``
    the lines (title, field) of ``--format raw``, which is a template like any other where there are none."""
    if format == "raw" and raw:
        out("".join(_raw_lines(row, raw) for row in rows))
        return
    if format in ("", "table"):
        out(layout([[header for header, _ in columns], *([str(row[field]) for _, field in columns] for row in rows)]))
        return
    from engine.cli.template import parse_format

    template, is_table = parse_format(format)
    lines = [template.execute(row) for row in rows]
    if is_table:
        head = template.execute(header_row(headers))
        out(layout([line.split("\t") for line in [head, *lines]]))
    elif lines:
        out(for_terminal("\n".join(lines) + "\n"))


def _raw_lines(row: Row, fields: Sequence[tuple[str, str]]) -> str:
    """A line a field, and an empty one behind them, unless the field is all that is asked for."""
    lines = "".join(f"{title}: {printable(str(row[field]))}".rstrip() + "\n" for title, field in fields)
    return lines + ("\n" if len(fields) > 1 else "")


def header_row(headers: dict[str, str]) -> Row:
    """The row of a table's headers; a label's header is its name."""
    row = Row(headers)
    row.kind = "headers"
    row["Label"] = lambda name: name
    return row


def for_terminal(rendered: str) -> str:
    """A template's output, made harmless where a terminal would act on it; a pipe gets it as it is."""
    import os

    from engine.cli.output import STDOUT, printable

    return printable(rendered, keep="\n\t") if os.isatty(STDOUT) else rendered


def short_id(id: str) -> str:
    """Docker's 12 digits of an id, without its "sha256:"."""
    return id.rpartition(":")[2][:12]


def shorten(text_given: str, limit: int) -> str:
    """At most ``limit`` characters, an ellipsis at the end of what is cut."""
    return text_given if len(text_given) <= limit else text_given[: limit - 1] + "…"


def room() -> int:
    """Columns that a table for people has; a great many where a program or a file takes it."""
    from engine.cli.terminal import size

    found = size()
    return found[1] if found else UNBOUNDED


def fitted(rows: Sequence[Sequence[str]], columns: int, least: int = 12) -> str:
    """A table whose last cells are cut so that its lines fit; ``least`` characters of them stay anyhow."""
    if columns == UNBOUNDED:
        return layout(rows)
    others = layout([(*row[:-1], "") for row in rows], 0).splitlines()
    most = max(least, columns - max(map(len, others)))
    return layout([(*row[:-1], shorten(printable(row[-1]), most)) for row in rows], 0)


def labels_text(labels: dict[str, str] | None) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))
