"""What the command line must know of image references; the engine judges them."""

from __future__ import annotations

from engine.cli.output import CommandError


def split_tag(reference: str) -> tuple[str, str]:
    """Name and tag ("" where there is none); a digest stays with the name."""
    if "@" in reference:
        return reference, ""
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "")


def new_tag(reference: str) -> tuple[str, str]:
    """Name and tag ("latest" by default) of a reference to be given to an image. Raises CommandError."""
    if "@" in reference:
        raise CommandError("refusing to create a tag with a digest reference")
    name, tag = split_tag(reference)
    if not name or reference.endswith(":") or ":" in name.rpartition("/")[2]:
        raise CommandError(
            f'Error parsing reference: "{reference}" is not a valid repository/tag: invalid reference format'
        )
    return name, tag or "latest"


def familiar(reference: str) -> str:
    """As Docker shows it: the default registry left out, the default tag spelled out."""
    short = reference.removeprefix("docker.io/").removeprefix("library/")
    return short if "@" in short or split_tag(short)[1] else f"{short}:latest"


def named(reference: str, *, every_tag: bool = False) -> str:
    """The whole name, as Docker prints it after a pull: registry and tag spelled out (no tag for all of them)."""
    name, tag = split_tag(reference)
    digest = ""
    if "@" in name:
        name, _, digest = name.partition("@")
        name = split_tag(name)[0]
    first, slash, _ = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    if every_tag:
        return name
    return f"{name}@{digest}" if digest else f"{name}:{tag or 'latest'}"
