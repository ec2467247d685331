"""Images: list, tag, remove."""

from __future__ import annotations

from engine.cli import quantities
from engine.cli.command import Command
from engine.cli.containers import AS_OF_HELP
from engine.cli.flags import Options, listed, switch, text
from engine.cli.listing import Row, filter_flag, filters_query, format_flag, short_id, show
from engine.cli.output import err, out
from engine.cli.references import new_tag
from engine.cli.session import Session
from engine.client.api import path_of
from engine.client.errors import APIError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

_HEADERS = {
    "ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT", "Size": "SIZE", "Containers": "CONTAINERS", "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
}  # fmt: skip
_NONE = "<none>"


_RAW = {"ID": "image_id", "CreatedAt": "created_at", "Size": "virtual_size"}


def list_images(session: Session, options: Options, arguments: list[str]) -> int:
    filters = filters_query(options.filter) or {}
    if arguments:
        filters.setdefault("reference", {})[arguments[0]] = True
    query: dict[str, Any] = {"all": options.all, "filters": filters or None}
    path = "/images/json"
    if options.as_of:
        path, query["as_of"] = "/docket/images/json", options.as_of
    found = session.client.call("GET", path, query=query)
    wants_digests = options.digests or "Digest" in options.format
    rows = [row for image in found for row in image_rows(image, whole=options.no_trunc, with_digests=wants_digests)]
    if options.quiet and not options.format:
        out("".join(row["ID"] + "\n" for row in rows))
        return 0
    digest = ["Digest"] if options.digests else []
    fields = ["Repository", "Tag", *digest, "ID", "CreatedSince", "Size"]
    raw = ["ID"] if options.quiet else ["Repository", "Tag", *digest, "ID", "CreatedAt", "Size"]
    show(
        rows, [(_HEADERS[field], field) for field in fields], options.format, _HEADERS,
        [(_RAW.get(field, field.lower()), field) for field in raw],
    )  # fmt: skip
    return 0


def image_rows(image: dict[str, Any], *, whole: bool, with_digests: bool = False) -> list[Row]:
    """A row for each of the image's names."""
    size = image.get("Size", 0)
    known = {
        "ID": image["Id"] if whole else short_id(image["Id"]),
        "CreatedSince": quantities.ago(image["Created"]) if image["Created"] > 0 else "N/A",
        "CreatedAt": quantities.local_time(image["Created"]),
        "Size": quantities.human_size(size),
        "VirtualSize": quantities.human_size(size, 4),
        "Containers": _count(image.get("Containers", -1)),
        "SharedSize": _size(image.get("SharedSize", -1)),
        "UniqueSize": _size(size - image["SharedSize"] if image.get("SharedSize", -1) >= 0 else -1),
    }
    return [
        Row(known, Repository=repository, Tag=tag, Digest=digest)
        for repository, tag, digest in _names(image, with_digests=with_digests)
    ]


def _names(image: dict[str, Any], *, with_digests: bool) -> Iterator[tuple[str, str, str]]:
    """Repository, tag and digest of each line that an image gets."""
    tags = [tag for tag in image.get("RepoTags") or () if tag != f"{_NONE}:{_NONE}"]
    digests = [digest for digest in image.get("RepoDigests") or () if digest != f"{_NONE}@{_NONE}"]
    if not tags and not digests:
        yield _NONE, _NONE, _NONE
    for tag in tags:
        repository, _, name = tag.rpartition(":")
        own = [digest.partition("@")[2] for digest in digests if digest.partition("@")[0] == repository]
        for digest in own if with_digests and own else [_NONE]:
            yield repository, name, digest
    tagged = {tag.rpartition(":")[0] for tag in tags}
    for digest in digests:
        repository, _, value = digest.partition("@")
        if repository not in tagged:
            yield repository, _NONE, value


def _count(number: int) -> str:
    return "N/A" if number == -1 else str(number)


def _size(size_bytes: int) -> str:
    return "N/A" if size_bytes == -1 else quantities.human_size(size_bytes, 4)


def tag_image(session: Session, options: Options, arguments: list[str]) -> int:
    source, target = arguments
    repository, tag = new_tag(target)
    session.client.call("POST", path_of("images", source, "tag"), query={"repo": repository, "tag": tag})
    return 0


def remove_images(session: Session, options: Options, arguments: list[str]) -> int:
    """With ``--force`` an image that is gone already is no failure."""
    platforms = [("platforms", one) for given in options.platform for one in given.split(",")]
    query = [("force", options.force), ("noprune", options.no_prune), *platforms]
    status = 0
    for name in arguments:
        try:
            done = session.client.call("DELETE", path_of("images", name), query=query)
        except APIError as error:
            err(f"Error response from daemon: {error}")
            if not (options.force and error.status == 404):
                status = 1
        else:
            out(removal_lines(done or []))
    return status


def removal_lines(done: list[dict[str, str]]) -> str:
    """"Untagged: base:latest", "Deleted: sha256:..."."""
    return "".join(f"{what.capitalize()}: {name}\n" for entry in done for what, name in entry.items())


LIST = Command(
    list_images,
    "[OPTIONS] [REPOSITORY[:TAG]]",
    switch("-a, --all", "Show all images (default hides intermediate images)"),
    text("--as-of", AS_OF_HELP),
    switch("--digests", "Show digests"),
    filter_flag(),
    format_flag(),
    switch("--no-trunc", "Don't truncate output"),
    switch("-q, --quiet", "Only show image IDs"),
    most=1,
    examples="""
docket images
docket images base --format '{{.ID}} {{.Size}}'
docket images --filter dangling=true -q
docket images --as-of 2026-11-23T10:00:00Z
""",
)
TAG = Command(tag_image, "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", least=2, most=2, examples="docket tag base base:1")
REMOVE = Command(
    remove_images,
    "[OPTIONS] IMAGE [IMAGE...]",
    switch("-f, --force", "Force removal of the image"),
    switch("--no-prune", "Do not delete untagged parents"),
    listed("--platform", "Remove the image only if it is for this platform, as linux/arm64", "strings"),
    least=1,
    examples="docket rmi base:1\ndocket rmi -f 3f2a",
)
