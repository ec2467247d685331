"""``docket pull``, and what ``run`` and ``create`` pull by themselves."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.flags import Options, content_trust, switch, text
from engine.cli.output import STDOUT, CommandError, out, printable
from engine.cli.progress import show_progress
from engine.cli.references import named, split_tag
from engine.cli.session import Session
from engine.client.api import path_of
from engine.client.credentials import CredentialFile, auth_header, registry_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from engine.client.api import Client


def pull(session: Session, options: Options, arguments: list[str]) -> int:
    (reference,) = arguments
    if options.all_tags and (split_tag(reference)[1] or "@" in reference):
        raise CommandError("tag can't be used with --all-tags/-a")
    client = session.client
    if not options.quiet and not options.all_tags:
        say_default_tag(reference)
    pull_image(client, reference, platform=options.platform, quiet=options.quiet, every_tag=options.all_tags)
    if not options.quiet:
        out(printable(named(reference, every_tag=options.all_tags)) + "\n")
    elif not options.all_tags:
        out(client.call("GET", path_of("images", reference, "json"))["Id"] + "\n")
    return 0


def say_default_tag(reference: str) -> None:
    """Tell which tag is meant where none was given, as Docker does."""
    if not split_tag(reference)[1] and "@" not in reference:
        out("Using default tag: latest\n")


def pull_image(
    client: Client, reference: str, *, platform: str = "", fd: int = STDOUT, quiet: bool = False,
    every_tag: bool = False,
) -> None:  # fmt: skip
    """Have the engine get an image, with the user's credentials; progress goes to ``fd``."""
    name, tag = split_tag(reference)
    if "@" in name:
        name, _, tag = name.partition("@")
        name = split_tag(name)[0]
    query = {
        "fromImage": name, "tag": tag or (None if every_tag else "latest"), "platform": platform or None,
    }  # fmt: skip
    response = client.stream("POST", "/images/create", query=query, headers=auth_of(reference))
    show_progress(response, fd, quiet=quiet)
    response.close()


def auth_of(reference: str) -> dict[str, str]:
    """The header with the credentials that the user keeps for the registry of an image."""
    auth = CredentialFile().get(registry_of(reference))
    return {"X-Registry-Auth": auth_header(auth)} if auth else {}


PULL = Command(
    pull,
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    content_trust(),
    switch("-a, --all-tags", "Download all tagged images in the repository"),
    text("--platform", "Choose this platform of an image for several, as linux/arm64"),
    switch("-q, --quiet", "Suppress verbose output: only the image's ID"),
    least=1,
    most=1,
    examples="""
docket pull debian:12
docket pull localhost:5000/team/app:1.2
docket pull --platform linux/arm64 debian
docket pull debian@sha256:4e3b...
""",
)
