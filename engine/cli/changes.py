"""What a container changed: ``docket diff`` lists it, ``docket commit`` makes an image of it."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options, listed, switch, text
from engine.cli.output import out, printable
from engine.cli.references import new_tag, split_tag
from engine.cli.session import Session
from engine.client.api import path_of

_LETTERS = ("C", "A", "D")


def diff(session: Session, options: Options, arguments: list[str]) -> int:
    found = session.client.call("GET", path_of("containers", arguments[0], "changes")) or []
    out("".join(f"{_LETTERS[change['Kind']]} {printable(change['Path'])}\n" for change in found))
    return 0


def commit(session: Session, options: Options, arguments: list[str]) -> int:
    container, reference = arguments[0], arguments[1] if len(arguments) > 1 else ""
    if reference:
        new_tag(reference)
    repository, tag = split_tag(reference)
    query = {
        "container": container, "repo": repository or None, "tag": tag or None, "comment": options.message or None,
        "author": options.author or None, "pause": "true" if options.pause else "false",
    }  # fmt: skip
    changes = [("changes", change) for change in options.change]
    answer = session.client.call("POST", "/commit", {}, query=[*query.items(), *changes])
    out(answer["Id"] + "\n")
    return 0


DIFF = Command(diff, "CONTAINER", least=1, most=1, examples="docket diff web")
COMMIT = Command(
    commit,
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    text("-a, --author", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")'),
    listed("-c, --change", "Apply Dockerfile instruction to the created image"),
    text("-m, --message", "Commit message"),
    switch("-p, --pause", "Pause container during commit", default=True),
    least=1,
    most=2,
    examples="docket commit web web:patched\ndocket commit -c 'CMD [\"nginx\"]' -m 'with the fix' web web:2",
)
