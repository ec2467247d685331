"""Images, their archives and registries, without any content: they keep what they were asked for."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, BinaryIO, Iterator, Mapping, Sequence

from engine.domain import image as images
from engine.domain.errors import InvalidArgument, NotFound, Unauthorized
from engine.eventlog.log import Context
from engine.images.manifests import Platform
from engine.images.registry.credentials import Credentials
from engine.images.registry.transfers import SearchResult
from engine.services.operations import Notice

from .log import START_US, Log

IMAGE_ID = "sha256:" + "ab" * 32


class Images:
    def __init__(self, log: Log) -> None:
        self._log = log

    def add(self, context: Context) -> None:
        created = images.ImageCreated(
            IMAGE_ID, ["sha256:layer"], 1000, START_US, "import", "-", labels={"kind": "test"}
        )
        self._log.append("image", IMAGE_ID, created, context)
        self._log.append("image", IMAGE_ID, images.ImageTagged(IMAGE_ID, "docker.io/library/base:latest"), context)

    def _view(self, state: images.Image) -> Any:
        config = {
            "created": "2023-11-14T22:13:20.123456789Z", "architecture": "amd64", "os": "linux",
            "config": {"Cmd": ["sh"], "Labels": {"kind": "test"}},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:diff"]},
        }  # fmt: skip
        return SimpleNamespace(state=state, config=config)

    def list(self, *, as_of: str | None = None) -> list[Any]:
        return [self._view(state) for state in self._log.states["image"].values()]

    def get(self, ref: str, *, as_of: str | None = None, platform: str = "") -> Any:
        for view in self.list():
            if ref in ("base", "base:latest", "library/base", view.state.id):
                return view
        raise NotFound(f"No such image: {ref}")

    def history(self, ref: str, *, platform: str = "") -> list[dict[str, Any]]:
        view = self.get(ref)
        return [
            {"Id": view.state.id, "Created": view.config["created"], "CreatedBy": "", "Tags": ["base:latest"],
             "Size": 1000, "Comment": ""}
        ]  # fmt: skip

    def tag(self, ref: str, target: str, context: Context) -> None:
        image_id = self.get(ref).state.id
        self._log.append("image", image_id, images.ImageTagged(image_id, f"docker.io/library/{target}"), context)


class ImageRemoval:
    def __init__(self, log: Log, images_: Images) -> None:
        self._log = log
        self.get = images_.get

    def remove(
        self, ref: str, *, force: bool, prune: bool, platforms: Sequence[str], context: Context
    ) -> list[dict[str, str]]:
        state = self.get(ref).state
        for event in (*images.decide(state, images.RemoveImage()), images.ImageRemoved(state.id)):
            self._log.append("image", state.id, event, context)
        return [{"Untagged": "base:latest"}, {"Deleted": state.id}]

    def prune(self, filters: Mapping[str, list[str]], context: Context) -> tuple[list[dict[str, str]], int]:
        return [], 0


class Archives:
    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.imports: list[dict[str, Any]] = []
        self.load_error: Exception | None = None
        self.platforms: list[str | None] = []
        self.saved: list[Sequence[str]] = []

    def import_(self, stream: BinaryIO, *, context: Context, **settings: Any) -> str:
        self.received.append(_read_all(stream))
        self.imports.append(settings)
        return IMAGE_ID

    def load(
        self, stream: BinaryIO, context: Context, platform: str | None = None
    ) -> Iterator[dict[str, Any]]:
        self.platforms.append(platform)
        self.received.append(_read_all(stream))
        if self.received[-1] == b"garbage":
            raise InvalidArgument("the archive is not a tar archive")
        yield {"stream": "Loaded image: base:latest\n"}
        if self.load_error is not None:
            raise self.load_error

    def save(self, references: Sequence[str], context: Context, platform: str = "") -> Iterator[bytes]:
        if "nope" in references:
            raise NotFound("No such image: nope:latest")
        self.saved.append(references)
        return (piece for piece in (b"tar", b"ball"))


def _read_all(stream: BinaryIO) -> bytes:
    whole = b""
    while chunk := stream.read(100_000):
        whole += chunk
    return whole


class Pulls:
    """Tells a short pull; what it was asked for is in ``asked``."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.late_error: Exception | None = None
        self.closed = threading.Event()

    def pull(self, reference: Any, **asked: Any) -> Iterator[Notice]:
        self.asked.append({"reference": reference, **asked})
        return self._pull(reference, asked["departed"])

    def _pull(self, reference: Any, departed: threading.Event) -> Iterator[Notice]:
        if self.error is not None:
            raise self.error
        if reference.path.endswith("nope"):
            raise NotFound("pull access denied for nope, repository does not exist or may require 'docker login'")
        try:
            yield Notice(f"Pulling from {reference.path}", reference.tag or "latest")
            yield Notice("Pulling fs layer", "0123456789ab")
            yield Notice("Downloading", "0123456789ab", 10, 100)
            if reference.tag == "endless":
                departed.wait(20)
            if self.late_error is not None:
                raise self.late_error
            yield Notice("Digest: sha256:00")
        finally:
            self.closed.set()


class Pushes:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def push(self, reference: Any, **asked: Any) -> Iterator[Notice]:
        self.asked.append({"reference": reference, **asked})
        yield Notice(f"The push refers to repository [{reference.name}]")
        yield Notice("v1: digest: sha256:00 size: 5", aux={"Tag": "v1", "Digest": "sha256:00", "Size": 5})


class Registries:
    def __init__(self) -> None:
        self.logins: list[tuple[str, Credentials]] = []
        self.searches: list[tuple[str, int]] = []

    def login(self, address: str, credentials: Credentials) -> str:
        self.logins.append((address, credentials))
        if credentials.password != "right":
            raise Unauthorized("incorrect username or password")
        return "token"

    def search(self, term: str, limit: int, credentials: Credentials, departed: threading.Event) -> list[SearchResult]:
        self.searches.append((term, limit))
        return [SearchResult("alpine", "small", 9, True, False), SearchResult("me/alpine", "mine", 1, False, True)]

    def inspect(self, reference: Any, credentials: Credentials, departed: threading.Event) -> Any:
        platforms = [Platform("linux", "amd64"), Platform("linux", "arm", "v7")]
        return SimpleNamespace(media_type="m", digest="sha256:00", size_bytes=5, platforms=platforms)


class Fsck:
    def run(self, *, repair: bool, context: Context) -> Any:
        problem = SimpleNamespace(
            object="layer sha256:1", what="has no tree", images=["base:latest"], repaired="mended" if repair else "",
            pull=[],
        )  # fmt: skip
        return SimpleNamespace(is_whole=repair, layers=1, blobs=2, problems=[problem])


class Builds:
    """Nothing was ever built."""

    def usage(self) -> list[Any]:
        return []
