"""``docket push``."""

from __future__ import annotations

import os

from engine.cli.command import Command
from engine.cli.flags import Options, content_trust, switch, text
from engine.cli.output import STDOUT, CommandError, out, printable
from engine.cli.progress import show_progress
from engine.cli.pull import auth_of, say_default_tag
from engine.cli.references import named, split_tag
from engine.cli.session import Session
from engine.client.api import quote


def push(session: Session, options: Options, arguments: list[str]) -> int:
    (reference,) = arguments
    _, tag = split_tag(reference)
    if "@" in reference:
        raise CommandError("cannot push a digest reference")
    if options.all_tags and tag:
        raise CommandError("tag can't be used with --all-tags/-a")
    if not options.quiet and not options.all_tags:
        say_default_tag(reference)
    push_image(session, reference, platform=options.platform, quiet=options.quiet, every_tag=options.all_tags)
    if options.quiet:
        out(printable(named(reference, every_tag=options.all_tags)) + "\n")
    return 0


def push_image(
    session: Session, reference: str, *, platform: str = "", quiet: bool = False, every_tag: bool = False
) -> None:
    """Send one tag, or all of the repository, and show how it goes."""
    name, tag = split_tag(reference)
    query = {"tag": None if every_tag else tag or "latest", "platform": platform or None}
    response = session.client.stream(
        "POST", f"/images/{quote(name)}/push", query=query, headers=auth_of(reference)
    )  # fmt: skip
    show_progress(response, _nowhere() if quiet else STDOUT)
    response.close()


def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


PUSH = Command(
    push,
    "[OPTIONS] NAME[:TAG]",
    content_trust(),
    switch("-a, --all-tags", "Push all tags of an image to the repository"),
    text("--platform", "Push the image only if it is for this platform, as linux/arm64"),
    switch("-q, --quiet", "Suppress verbose output"),
    least=1,
    most=1,
    examples="docket tag app:1.2 localhost:5000/team/app:1.2\ndocket push localhost:5000/team/app:1.2",
)
