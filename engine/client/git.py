"""git, the program: what a URL names of a repository, and a checkout of it. The one module that starts git.

    https://host/project.git#REVISION:FOLDER        git@host:project        git://host/project        ssh://...

What is fetched is a stranger's: no hook of it runs (git never fetches hooks), no transport but git's own, http(s) and
ssh is used, and the folder that a URL names must lie in the checkout, links included.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Callable

_SCHEMES = ("git://", "ssh://", "git@")
_HTTP = ("http://", "https://")
_COMMIT_DIGITS = (40, 64)  # SHA-1, SHA-256
_SILENCE_S = "60"
_POLL_S = 0.25


class Repository:
    """``address`` is without the fragment; ``revision`` is a branch, a tag or a commit ("": the remote's HEAD);
    ``folder`` is the part of the checkout that is meant ("": all of it)."""

    __slots__ = ("address", "folder", "revision")

    def __init__(self, address: str, revision: str, folder: str) -> None:
        self.address = address
        self.revision = revision
        self.folder = folder

    def at(self, revision: str) -> Repository:
        return Repository(self.address, revision, self.folder)


class GitError(Exception):
    """One line: what git could not do, and why."""


def repository_of(url: str) -> Repository | None:
    """The repository that a URL names; None where it names something else."""
    address, _, fragment = url.partition("#")
    if address.startswith("github.com/"):
        address = f"https://{address}"
    is_git = address.startswith(_SCHEMES) or url.startswith("github.com/")
    if not is_git and not (address.startswith(_HTTP) and address.endswith((".git", ".git/"))):
        return None
    revision, _, folder = fragment.partition(":")
    return Repository(address, revision, folder)


def shown(repository: Repository) -> str:
    """The address without user and password."""
    scheme, separator, rest = repository.address.partition("://")
    if not separator:
        return repository.address
    host, slash, path = rest.partition("/")
    return scheme + separator + host.rpartition("@")[2] + slash + path


class Git:
    """One checkout's doings. ``is_trusted``: the user's own configuration of git counts. ``check`` is called now and
    then, and raises where git is to end."""

    def __init__(self, repository: Repository, *, is_trusted: bool, check: Callable[[], None] = lambda: None) -> None:
        """Raises GitError."""
        if repository.revision.startswith("-") or repository.address.startswith("-"):
            raise GitError(f"invalid git revision {repository.revision!r}")
        if any(ord(char) < 32 for char in repository.address + repository.revision + repository.folder):
            raise GitError("a git URL with control characters is refused")
        self._repository = repository
        self._is_trusted = is_trusted
        self._check = check

    def commit(self) -> str:
        """The commit that the revision is now, as the remote says; a whole commit id is taken at its word, and "" is
        the answer where only a checkout can tell (an abbreviated one). Raises GitError."""
        address, revision = self._repository.address, self._repository.revision
        if len(revision) in _COMMIT_DIGITS and not revision.strip("0123456789abcdef"):
            return revision
        wanted = revision or "HEAD"
        listed = self._run("ls-remote", "--", address, wanted, f"{wanted}^{{}}")
        found = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
        for name in (wanted, f"refs/heads/{wanted}", f"refs/tags/{wanted}^{{}}", f"refs/tags/{wanted}"):
            if name in found:
                return found[name]
        return ""

    def check_out(self, folder: str, *, keep_git: bool = False) -> str:
        """Fetch the revision with its submodules into the empty ``folder``; answer with the path of the part that is
        meant. ``keep_git``: .git stays. Raises GitError, OSError."""
        root, repository = os.path.realpath(folder), self._repository
        self._run("init", "--quiet", folder=root)
        self._run("remote", "add", "origin", "--", repository.address, folder=root)
        self._run("checkout", "--quiet", "--force", "--detach", self._fetched(root), folder=root)
        if os.path.lexists(os.path.join(root, ".gitmodules")):
            self._run("submodule", "update", "--quiet", "--init", "--recursive", "--depth=1", folder=root)
        chosen = os.path.realpath(os.path.join(root, repository.folder.lstrip("/")))
        if chosen != root and not chosen.startswith(root + "/") or f"{chosen}/".startswith(f"{root}/.git/"):
            raise GitError(f"the folder {repository.folder!r} lies outside of the repository")
        if not os.path.isdir(chosen):
            raise GitError(f"{shown(repository)} has no folder {repository.folder!r}")
        if keep_git:
            self._run("remote", "set-url", "origin", "--", shown(repository), folder=root)
        else:
            _remove_git(root)
        return chosen

    def _fetched(self, root: str) -> str:
        """One commit where the server gives that; else all of it, in which an abbreviated commit is looked for."""
        wanted = self._repository.revision or "HEAD"
        try:
            self._run("fetch", "--quiet", "--depth=1", "origin", "--", wanted, folder=root)
            return "FETCH_HEAD"
        except GitError as error:
            try:
                heads = "+refs/heads/*:refs/remotes/origin/*"
                self._run("fetch", "--quiet", "--tags", "origin", "--", heads, folder=root)
                name = f"{wanted}^{{commit}}"
                return self._run("rev-parse", "--verify", "--quiet", "--end-of-options", name, folder=root).split()[-1]
            except GitError:
                raise error from None

    def _run(self, *words: str, folder: str = "/") -> str:
        import subprocess

        options = ["-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false", "-c", "protocol.version=2"]
        try:
            process = subprocess.Popen(
                ["git", *options, *words], cwd=folder, env=_environment(self._is_trusted), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise GitError("git is not installed: install it, or clone the repository beforehand") from error
        with process:
            try:
                output, said = self._ended(process)
            except BaseException:
                os.killpg(process.pid, 9)  # with the helper that speaks with the server
                raise
        if process.returncode:
            raise GitError(f"git {words[0]} of {shown(self._repository)}: {self._reason(said)}")
        return output

    def _ended(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        from subprocess import TimeoutExpired

        while True:
            try:
                return process.communicate(timeout=_POLL_S)
            except TimeoutExpired:
                self._check()

    def _reason(self, said: str) -> str:
        """The line of git's that says what is wrong, without the password that stands in the address."""
        lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it failed"]
        reason = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
        return reason.replace(self._repository.address, shown(self._repository))


def _environment(is_trusted: bool) -> dict[str, str]:
    environment = {
        **os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "git:http:https:ssh",
        "GIT_HTTP_LOW_SPEED_LIMIT": "1", "GIT_HTTP_LOW_SPEED_TIME": _SILENCE_S, "GIT_LFS_SKIP_SMUDGE": "1",
        "LC_ALL": "C",
    }  # fmt: skip
    if not is_trusted:
        own = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
        environment |= {**own, "HOME": "/nonexistent"}  # whose .netrc would be read
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_CONFIG_PARAMETERS"):
        environment.pop(name, None)
    return environment


def _remove_git(root: str) -> None:
    """The repository's own .git, and the files of that name by which submodules point into it."""
    import shutil

    for path, folders, files in os.walk(root):
        if ".git" in folders:
            folders.remove(".git")
            shutil.rmtree(os.path.join(path, ".git"))
        if ".git" in files:
            os.unlink(os.path.join(path, ".git"))
