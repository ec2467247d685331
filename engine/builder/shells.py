"""RUN: its words, what it depends on, what its container mounts."""

from __future__ import annotations

import codecs
import itertools
import os
import posixpath
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

from engine.builder.agents import Agents, StepSocket
from engine.builder.cache_folders import CacheFolders
from engine.builder.dockerfile import HereDocument, with_heredocs
from engine.builder.entitlements import is_insecure
from engine.builder.ground import Ground
from engine.builder.instructions import Run
from engine.builder.keys import Inputs
from engine.builder.mounts import Mount, target_in
from engine.builder.orders import Site
from engine.builder.runs import Runner
from engine.builder.stages import PREDEFINED
from engine.domain.errors import InvalidArgument
from engine.images.changes import environment_of
from engine.images.shell_words import substitute
from engine.services import trees
from engine.services.core import Core

if TYPE_CHECKING:
    from engine.builder.files import Files

_SCRIPTS = "/dev/pipes"
_AGENT, _AGENT_VARIABLE = "/run/buildkit/ssh_agent.{}", "SSH_AUTH_SOCK"


@dataclass(frozen=True, slots=True)
class _Mounted:
    """HostConfig's ``Mounts``, and the variables that tell a step of them."""

    mounts: list[dict[str, Any]]
    env: dict[str, str]


class Shells:
    """One for the engine."""

    def __init__(self, core: Core, runner: Runner, content: Path, run_dir: Path, agents: Agents) -> None:
        self._core = core
        self._runner = runner
        self._content = content
        self._secrets = run_dir / "build-secrets"
        self._sockets = run_dir / "build-agents"
        self._agents = agents
        self._caches = CacheFolders(core.store.root / "build-cache", core.runtime)

    # --- words ---

    def words_of(self, command: Run, ground: Ground) -> list[str]:
        """What is executed. A here-document alone is the script itself; else it is the shell's to read."""
        if command.words is not None:
            return list(command.words)
        heredocs = command.source.heredocs
        if len(heredocs) == 1 and _is_alone(command.script, heredocs[0]):
            document = heredocs[0]
            return [f"{_SCRIPTS}/{document.name}"] if document.is_script else [*ground.shell, document.content]
        return [*ground.shell, with_heredocs(command.script, heredocs)]

    # --- inputs ---

    def inputs(
        self, command: Run, argv: list[str], ground: Ground, arguments: Mapping[str, str], site: Site, files: Files
    ) -> Inputs:  # fmt: skip
        """Everything that the outcome may depend on, but for the network, the time, secrets, agents and caches."""
        mounts = [[mount.type, *map(list, sorted(mount.fields.items()))] for mount in command.mounts]
        bound = [self._expanded(mount, ground, site) for mount in command.mounts if mount.type == "bind"]
        return {
            "instruction": command.source.original, "kind": "run", "command": argv, "network": command.network,
            "env": environment_of(ground.settings), "args": dict(arguments), "workdir": ground.workdir,
            "user": ground.settings.get("User") or "", "mounts": mounts,
            "add_hosts": list(site.order.host.get("ExtraHosts") or []),
            "scripts": [document.content for document in command.source.heredocs],
            **({"security": "insecure"} if is_insecure(command, site.order) else {}),
            **(files.bound_inputs(bound, site) if bound else {}),
        }  # fmt: skip

    # --- running ---

    def run(
        self, command: Run, argv: list[str], ground: Ground, arguments: Mapping[str, str], site: Site, files: Files
    ) -> dict[str, Any]:
        """Run it in a container. Answers with the blob of its changes. Raises RunFailed, InvalidArgument."""
        with ExitStack() as held:
            mounted = self._mounts(command, ground, site, files, held)
            return self._run(command, argv, ground, {**mounted.env, **arguments}, site, mounted.mounts)

    def _run(
        self, command: Run, argv: list[str], ground: Ground, arguments: Mapping[str, str], site: Site,
        mounts: list[dict[str, Any]],
    ) -> dict[str, Any]:  # fmt: skip
        given = {name: value for name, value in site.order.arguments.items() if name in PREDEFINED}
        env = {**given, **arguments, **environment_of(ground.settings)}
        config = {
            "Cmd": argv, "Env": [f"{name}={value}" for name, value in env.items()],
            "WorkingDir": ground.settings.get("WorkingDir") or "", "User": ground.settings.get("User") or "",
            "AttachStdout": True, "AttachStderr": True,
        }  # fmt: skip
        host = {**site.order.host, "Mounts": mounts}
        if command.network != "default":
            host["NetworkMode"] = command.network
        if is_insecure(command, site.order):
            host["Privileged"] = True
        container_id = self._runner.create(
            config, host, chain_ids=ground.chain_ids, image=ground.top[:19] or "scratch", build_id=site.build_id,
            context=site.context,
        )  # fmt: skip
        site.tell({"stream": f" ---> Running in {container_id[:12]}\n"})
        text = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two pieces
        try:
            self._runner.run(
                container_id, " ".join(argv), lambda piece: _tell(site, text.decode(piece)), site.stop, site.context
            )
            stubs = [mount["Target"] for mount in mounts]
            return self._runner.commit(container_id, str(self._content), stubs, site.epoch_s)
        finally:
            if not site.order.keep_containers or site.stop.is_set():
                self._runner.remove(container_id, site.context)

    # --- mounts ---

    def _mounts(
        self, command: Run, ground: Ground, site: Site, files: Files, held: ExitStack
    ) -> _Mounted:
        """What is locked for the mounts, or listens, does so until ``held`` ends."""
        mounts = _scripts(command, site)
        mounted = _Mounted(mounts, {})
        agents = itertools.count()
        for mount in command.mounts:
            expanded = self._expanded(mount, ground, site)
            default = _AGENT.format(next(agents)) if mount.type == "ssh" else ""
            target = target_in(expanded, ground.workdir, default)
            if mount.type == "tmpfs":
                size = {"SizeBytes": _bytes(expanded.text("size"))} if expanded.text("size") else {}
                mounts.append({"Type": "tmpfs", "Target": target, "TmpfsOptions": size})
                continue
            if mount.type == "secret":
                self._add_secret(expanded, target, site, mounts)
                continue
            if mount.type == "ssh":
                self._add_agent(expanded, target, site, held, mounted)
                continue
            if mount.type == "cache":
                source = self._caches.take(expanded, target, held, site.check)
            else:
                source = files.mount_source(expanded, ground, site)
            mounts.append({"Type": "bind", "Source": source, "Target": target, "ReadOnly": expanded.is_read_only})
        return mounted

    @staticmethod
    def _expanded(mount: Mount, ground: Ground, site: Site) -> Mount:
        variables = ground.variables()
        fields = {key: substitute(value, variables, site.escape) for key, value in mount.fields.items()}
        return Mount(mount.type, fields)

    def _add_secret(self, mount: Mount, target: str, site: Site, mounts: list[dict[str, Any]]) -> None:
        """A file in the run folder, which is memory, for as long as the build lasts."""
        name = mount.text("id") or posixpath.basename(mount.text("target"))
        value = site.order.secrets.get(name)
        if value is None:
            if mount.is_on("required"):
                raise InvalidArgument(f"secret {name}: not found: give it with --secret id={name},src=FILE")
            return
        folder = self._secrets / site.build_id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / os.urandom(8).hex()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with open(fd, "wb") as file:
            file.write(value)
        mode = mount.number("mode", 0o400, 8)
        trees.own(self._core.runtime, path, mount.number("uid", 0), mount.number("gid", 0), mode)
        mounts.append({"Type": "bind", "Source": str(path), "Target": target, "ReadOnly": True})

    def _add_agent(self, mount: Mount, target: str, site: Site, held: ExitStack, mounted: _Mounted) -> None:
        """A socket in the run folder that listens while the step lasts. The first one is what ssh looks for."""
        agent = mount.text("id") or "default"
        if not self._agents.has(site.order.agents, agent):
            if mount.is_on("required"):
                raise InvalidArgument(f"no agent of ssh with the id {agent}: give it with --ssh {agent}")
            return
        user, group, mode = mount.number("uid", 0), mount.number("gid", 0), mount.number("mode", 0o600, 8)
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        path = self._sockets / os.urandom(8).hex()

        def own(path: Path) -> None:
            trees.own(self._core.runtime, path, user, group, mode)

        held.enter_context(StepSocket(self._agents, site.order.agents, agent, path, own))
        mounted.mounts.append({"Type": "bind", "Source": str(path), "Target": target, "ReadOnly": False})
        mounted.env.setdefault(_AGENT_VARIABLE, target)

    def forget_secrets(self, build_id: str) -> None:
        """Nothing of them outlives the build."""
        folder = self._secrets / build_id
        if folder.is_dir():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()


def _is_alone(script: str, document: HereDocument) -> bool:
    return script.strip().lstrip("0123456789").replace("'", "").replace('"', "") in (
        f"<<{document.name}", f"<<-{document.name}"
    )  # fmt: skip


def _scripts(command: Run, site: Site) -> list[dict[str, Any]]:
    """A here-document that names its interpreter is a file, which the step alone sees."""
    mounts = []
    for document in command.source.heredocs:
        if document.is_script and _is_alone(command.script, document):
            path = site.scratch() / "script"
            path.write_text(document.content)
            path.chmod(0o755)
            mounts.append(
                {"Type": "bind", "Source": str(path), "Target": f"{_SCRIPTS}/{document.name}", "ReadOnly": True}
            )
    return mounts


def _tell(site: Site, text: str) -> None:
    if text:
        site.tell({"stream": text, "output": True})


def _bytes(text: str) -> int:
    units = {"k": 10, "m": 20, "g": 30}
    lower = text.lower().removesuffix("b")
    number = lower[:-1] if lower[-1:] in units else lower
    if not number.isdigit():
        raise InvalidArgument(f"invalid size {text!r} of a tmpfs mount")
    return int(number) << units.get(lower[-1:], 0)
