"""``docket system fsck``: does the store of images hold what the log says?"""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options, switch, text
from engine.cli.output import CommandError, out, printable
from engine.cli.session import Session
from engine.client import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def fsck(session: Session, options: Options, arguments: list[str]) -> int:
    """0 if everything is whole or was mended, 1 if not; each problem is a line, with what to do about it."""
    report = session.client.call("POST", "/docket/system/fsck", query={"repair": options.repair})
    if options.format == "json":
        out(jsontext.encode(report) + "\n")
        return 0 if report["ok"] else 1
    out("".join(printable(_line(problem)) + "\n" for problem in report["problems"]))
    checked = f"{_count(report['layers'], 'layer')} and {_count(report['blobs'], 'blob')}"
    pull = list(dict.fromkeys(name for one in report["problems"] if not one["repaired"] for name in one["pull"]))
    for name in pull:
        out(printable(f"pull again: docket pull {name}") + "\n")
    if not report["ok"]:
        unmended = sum(not problem["repaired"] for problem in report["problems"])
        hint = "" if options.repair else "; docket system fsck --repair mends what can be mended"
        raise CommandError(f"the store is NOT whole: {_count(unmended, 'problem')} in {checked}{hint}")
    out(f"the store is whole: {checked}\n")
    return 0


def _line(problem: dict[str, Any]) -> str:
    needed = f" (needed by {', '.join(problem['images'])})" if problem["images"] else ""
    done = f": {problem['repaired']}" if problem["repaired"] else ""
    return f"{problem['object']}: {problem['what']}{needed}{done}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


FSCK = Command(
    fsck,
    "[OPTIONS]",
    text("--format", "Format output: 'json'"),
    switch("--repair", "Unpack damaged layers again, remove what belongs to nothing"),
    most=0,
    examples="docket system fsck\ndocket system fsck --repair",
)
