"""COPY, ADD and WORKDIR: where their files come from, and the layer that they make."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Callable, Sequence

from engine.builder.dockerfile import expanded
from engine.builder.ground import Ground
from engine.builder.instructions import Copy
from engine.builder.jobs import look
from engine.builder.keys import Inputs
from engine.builder.layering import Made
from engine.builder.mounts import Mount
from engine.builder.orders import Site
from engine.builder.stages import OF_CONTEXT
from engine.client import git
from engine.domain.errors import InvalidArgument, NotSupported, Unavailable
from engine.images.limits import Limits
from engine.kernel.paths import open_in_root
from engine.services.core import Core

_URL = re.compile(r"https?://|git@|ssh://|git://", re.IGNORECASE)
Cached = Callable[[Inputs, Callable[[], dict[str, Any]]], Made]


class Files:
    """Of one build. ``ground_of`` gives what ``--from`` names: a stage, when it is done, or an image."""

    def __init__(
        self, core: Core, content: Path, limits: dict[str, int] | None, ground_of: Callable[[str], Ground]
    ) -> None:
        self._core = core
        self._content = content
        self._limits = limits
        self._ground_of = ground_of

    def copy(
        self, command: Copy, destination: str, ground: Ground, site: Site, whole: Callable[[str], str], cached: Cached
    ) -> Made:
        """``destination`` is absolute; ``whole`` puts the values of variables in. Raises InvalidArgument, OSError."""
        words = [whole(word) for word in command.sources]
        parts = self._parts(command, words, site)
        if command.heredocs:
            parts.append(self._here(command, ground, site))
        is_folder = destination.endswith(("/", "/.", "/.."))  # also where nothing is there yet
        if is_folder or len(words) + len(command.heredocs) > 1 and len(parts) > 1:
            destination = destination.rstrip("/") + "/"
        job = {
            "destination": destination, "chown": whole(command.chown), "chmod": whole(command.chmod),
            "exclude": [whole(pattern) for pattern in command.exclude], "parents": command.keeps_parents,
            "keep_owners": bool(command.from_stage), "limits": self._limits,
        }  # fmt: skip
        if command.is_link:
            ground = _nothing_below(job["chown"])
        looks = [self._look(part, job, site) for part in parts]
        inputs: Inputs = {
            "instruction": command.source.original, "kind": "add" if command.is_add else "copy",
            "destination": destination, "chown": job["chown"], "chmod": job["chmod"], "exclude": job["exclude"],
            "files": [entry for _, entries in looks for entry in entries],
            "files_digest": [digest for digest, _ in looks], "unpack": [part["archives"] for part in parts],
        }  # fmt: skip

        def make() -> dict[str, Any]:
            for part in parts:
                if (checkout := part.pop("checkout", None)) is not None:
                    checkout()
            return self._make("build.copy", [{**job, **part} for part in parts], ground, site)

        return cached(inputs, make)

    def _parts(self, command: Copy, words: Sequence[str], site: Site) -> list[dict[str, Any]]:
        """Trees and the words that count in them."""
        urls = [word for word in words if command.is_add and _URL.match(word)]
        plain = [word for word in words if word not in urls]
        parts = []
        if plain:
            archives = command.is_add and command.unpack is not False
            parts.append({"tree": self._tree(command.from_stage, site), "words": plain, "archives": archives})
        for url in urls:
            if (repository := git.repository_of(url)) is not None:
                parts.append(self._repository(repository, command, site))
                continue
            folder = site.scratch()
            name = self._fetch(url, folder, command, site)
            parts.append({"tree": {"folder": str(folder)}, "words": [name], "archives": command.unpack is True})
        if command.checksum and plain:
            raise InvalidArgument("--checksum is for what comes from the network, not for files of the context")
        return parts

    def _fetch(self, url: str, folder: Path, command: Copy, site: Site) -> str:
        if not url.lower().startswith(("http://", "https://")):
            raise NotSupported(f"ADD of {url!r} is not supported: use http, https or a git repository (*.git)")
        from engine.images.remote_files import download  # with requests, which most builds don't need

        most = Limits.from_json(self._limits).bytes
        return download(url, folder, command.checksum, most, site.stop)

    @staticmethod
    def _repository(repository: git.Repository, command: Copy, site: Site) -> dict[str, Any]:
        """What is known of a repository by its commit needs no checkout before its step is carried out."""
        folder = str(site.scratch())
        part: dict[str, Any] = {"tree": {"folder": folder}, "words": ["."], "archives": False}
        try:
            commit = git.Git(repository, is_trusted=False, check=site.check).commit()
            if not commit:
                raise Unavailable(f"{git.shown(repository)} has no branch, tag or whole commit {repository.revision!r}")
        except git.GitError as error:
            raise Unavailable(str(error)) from error
        if command.checksum and commit != command.checksum.removeprefix("sha1:"):
            raise InvalidArgument(f"{git.shown(repository)} is at commit {commit} where {command.checksum} is expected")
        pinned = repository.at(commit)

        def checkout() -> None:
            try:
                doing = git.Git(pinned, is_trusted=False, check=site.check)
                part["tree"] = {"folder": doing.check_out(folder, keep_git=command.keeps_git)}
            except git.GitError as error:
                raise Unavailable(str(error)) from error

        part |= {"revision": f"{commit}:{repository.folder}", "checkout": checkout}
        return part

    def _here(self, command: Copy, ground: Ground, site: Site) -> dict[str, Any]:
        folder = site.scratch()
        for document in command.heredocs:
            path = folder / document.name
            path.write_text(expanded(document, ground.variables()))
            path.chmod(0o644)
            if site.epoch_s is not None:
                os.utime(path, (site.epoch_s, site.epoch_s))
        return {"tree": {"folder": str(folder)}, "words": [one.name for one in command.heredocs], "archives": False}

    def _tree(self, from_stage: str, site: Site) -> dict[str, Any]:
        if not from_stage:
            return {"folder": str(site.sources)}
        if from_stage.startswith(OF_CONTEXT):
            return {"folder": str(site.named_sources(from_stage.removeprefix(OF_CONTEXT)))}
        return {"lower": self._lower(self._ground_of(from_stage)), "scratch": str(site.scratch())}

    def _lower(self, ground: Ground) -> list[str]:
        return [str(self._core.store.layer(chain_id)) for chain_id in reversed(ground.chain_ids)]

    def _look(self, part: dict[str, Any], job: dict[str, Any], site: Site) -> tuple[str, list[list[Any]]]:
        if "revision" in part:
            return part["revision"], []
        asked = {
            **part, "exclude": job["exclude"], "parents": job["parents"], "owners": job["keep_owners"]
        }  # fmt: skip
        if part["tree"].get("folder") == str(site.sources) and site.has_small_context:
            return look(asked)  # sooner done than a worker is forked
        listing = site.scratch() / "listing"
        answer = self._core.runtime.run_job("build.look", {**asked, "listing": str(listing)})
        return answer["digest"], json.loads(listing.read_text())

    def make_folder(self, ground: Ground, path: str, site: Site) -> dict[str, Any]:
        """The blob of a layer with this folder; none where it is there."""
        return self._make("build.folder", [{"path": path}], ground, site)

    def _make(self, name: str, jobs: Sequence[dict[str, Any]], ground: Ground, site: Site) -> dict[str, Any]:
        root = {"lower": self._lower(ground), "scratch": str(site.scratch())}
        *others, last = jobs
        for job in others:
            self._core.runtime.run_job(name, {**job, "root": root})
        commit = {"content": str(self._content), "latest_s": site.epoch_s}
        return self._core.runtime.run_job(name, {**last, "root": root, "commit": commit})["blob"]

    # --- bind mounts ---

    def bound_inputs(self, mounts: Sequence[Mount], site: Site) -> Inputs:
        """What is in the sources of bind mounts: the step that sees them depends on it."""
        files: list[list[Any]] = []
        digests: list[str] = []
        for mount in mounts:
            source, origin = mount.text("source", "/"), mount.text("from")
            if origin and source.strip("/") in ("", "."):
                digests.append(self._ground_of(origin).top)
                continue
            part = {"tree": self._tree(origin, site), "words": [source]}
            digest, found = self._look(part, {"exclude": [], "parents": True, "keep_owners": bool(origin)}, site)
            digests.append(digest)
            files += found
        return {"files": files, "files_digest": digests}

    def mount_source(self, mount: Mount, ground: Ground, site: Site) -> str:
        """A path of the host to be bound: of the context in place; a copy where it is of a stage or an image, or may be
        written to, which nobody else is to see. Raises InvalidArgument."""
        source = mount.text("source", "/")
        if mount.is_read_only and not mount.text("from"):
            return _inside(site.sources, source)
        root = {"lower": [], "scratch": str(site.scratch())}
        job = {
            "tree": self._tree(mount.text("from"), site), "words": [source], "exclude": [], "parents": False,
            "archives": False, "root": root, "chown": "", "chmod": "", "keep_owners": True, "limits": self._limits,
            "destination": "/bound/" if source.strip("/") in ("", ".") else "/bound",
        }  # fmt: skip
        self._core.runtime.run_job("build.copy", job)
        return _inside(Path(root["scratch"]) / "upper", "bound")


def _nothing_below(chown: str) -> Ground:
    """--link: the layer is the same whatever it comes to lie on, so nothing below it may count."""
    if chown and not all(part.isascii() and part.isdigit() for part in chown.split(":")):
        raise InvalidArgument(f"--chown={chown} with --link: use numbers, since the users below are not known to it")
    return Ground.scratch()


def _inside(folder: Path, path: str) -> str:
    """The real path of something in a folder, no link of which leads out. Raises InvalidArgument."""
    root_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = open_in_root(root_fd, path, os.O_PATH)
    except FileNotFoundError as error:
        raise InvalidArgument(f"source {path!r} of the mount is not in the build context") from error
    finally:
        os.close(root_fd)
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
