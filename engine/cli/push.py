"""``docket push``."""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.flags import Options, content_trust, switch
from engine.cli.output import STDOUT, CommandError, out, printable
from engine.cli.progress import show_progress
from engine.cli.pull import auth_of, say_default_tag
from engine.cli.references import named, split_tag
from engine.cli.session import Session
from engine.client.api import quote


def push(session: Session, options: Options, arguments: list[str]) -> int:
    (reference,) = arguments
    name, tag = split_tag(reference)
    if "@" in reference:
        raise CommandError("cannot push a digest reference")
    if options.all_tags and tag:
        raise CommandError("tag can't be used with --all-tags/-a")
    if not options.quiet and not options.all_tags:
        say_default_tag(reference)
    query = {"tag": None if options.all_tags else tag or "latest"}
    headers = auth_of(reference)
    response = session.client.stream("POST", f"/images/{quote(name)}/push", query=query, headers=headers)
    show_progress(response, _nowhere() if options.quiet else STDOUT)
    response.close()
    if options.quiet:
        out(printable(named(reference, every_tag=options.all_tags)) + "\n")
    return 0


def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


PUSH = Command(
    push,
    "[OPTIONS] NAME[:TAG]",
    content_trust(),
    switch("-a, --all-tags", "Push all tags of an image to the repository"),
    switch("-q, --quiet", "Suppress verbose output"),
    least=1,
    most=1,
    examples="docket tag app:1.2 localhost:5000/team/app:1.2\ndocket push localhost:5000/team/app:1.2",
)
