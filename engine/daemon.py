"""The composition root: the one place where the parts of the engine are put together, and the daemon's main loop.

    python -m engine.daemon [--root DIR] [--run-dir DIR] [--host unix://PATH] [--host tcp://NODE:PORT --tlsverify ...]
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import hashlib
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Sequence

from engine.api.doors import Door
from engine.api.opening import open_all, plan_doors
from engine.api.server import Server
from engine.builder.builds import Builds
from engine.builder.runs import Runner
from engine.client.address import default_config, default_root, default_run_dir
from engine.domain.errors import Conflict, EngineError, describe
from engine.eventlog.log import Context, EventLog
from engine.images.content import ContentStore
from engine.images.registry.client import Registries as RegistryClient
from engine.images.registry.downloads import Downloads
from engine.kernel import allocator, cgroups
from engine.kernel.service_manager import notify
from engine.networking.host import HostNetwork
from engine.recovery.containers import ContainerRecovery
from engine.recovery.networks import NetworkRecovery
from engine.recovery.store import INTERRUPTED, StoreRecovery, forget_volatile
from engine.runtime.rootless import Rootless, user_namespace
from engine.runtime.supervisor import Supervisor
from engine.services import rootless as rootless_notes
from engine.services import settings as engine_settings
from engine.services.archives import Archives
from engine.services.audit import Audit
from engine.services.blobs import Blobs
from engine.services.bundles import Bundles
from engine.services.commits import Commits
from engine.services.containers import Containers
from engine.services.core import Core
from engine.services.endpoints import Endpoints
from engine.services.events import Events
from engine.services.execs import Execs
from engine.services.files import Files
from engine.services.firewall_watch import FirewallWatch
from engine.services.fsck import Fsck
from engine.services.health import HealthChecks
from engine.services.image_removal import ImageRemoval
from engine.services.images import Images
from engine.services.layers import Layers
from engine.services.lifecycle import Lifecycle
from engine.services.monitor import Monitor
from engine.services.network_connections import NetworkConnections
from engine.services.networks import Networks
from engine.services.ports import Clock, Randomness, Runtime, Store, SystemClock, SystemRandomness, boot_id
from engine.services.pulls import Pulls
from engine.services.pushes import Pushes
from engine.services.recorder import Recorder
from engine.services.redactions import Redactions
from engine.services.registries import Registries
from engine.services.remaps import Remaps
from engine.services.restarts import Restarts
from engine.services.runtime_journals import RuntimeJournals
from engine.services.settings import Settings
from engine.services.statistics import Statistics
from engine.services.system import System
from engine.services.timers import SystemTimers, Timers
from engine.services.trash import Trash
from engine.services.updates import Updates
from engine.services.volumes import Volumes
from engine.services.who_ran import WhoRan

DEFAULT_ROOT = "/var/lib/docket"


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, as the API sees them."""

    containers: Containers
    lifecycle: Lifecycle
    execs: Execs
    images: Images
    image_removal: ImageRemoval
    archives: Archives
    commits: Commits
    files: Files
    pulls: Pulls
    builds: Builds
    pushes: Pushes
    registries: Registries
    fsck: Fsck
    volumes: Volumes
    networks: Networks
    network_connections: NetworkConnections
    audit: Audit
    redactions: Redactions
    events: Events
    system: System
    statistics: Statistics
    updates: Updates
    who_ran: WhoRan
    bundles: Bundles


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything above the log and the runtime, put together; the same for the daemon and for simulations."""

    core: Core
    services: Services
    monitor: Monitor
    restarts: Restarts
    health: HealthChecks
    content: ContentStore
    blobs: Blobs
    layers: Layers
    downloads: Downloads
    trash: Trash


def compose(
    log: EventLog, runtime: Runtime, store: Store, run_dir: Path, clock: Clock, randomness: Randomness, timers: Timers,
    settings: Settings = Settings(), client: RegistryClient | None = None, downloads: Downloads | None = None,
    host: HostNetwork | None = None, rootless: Rootless | None = None,
) -> Engine:  # fmt: skip
    """Put the services together on what they need from outside; registries are spoken with as the settings say, where
    nobody brings a client."""
    core = Core(
        log, Recorder(log), runtime, store, clock, randomness, timers, run_dir, cgroup_parent(store.root),
        settings.network, settings.runtimes, rootless,
    )  # fmt: skip
    content = ContentStore(store.root / "content")
    limits = settings.archive_limits
    trash = Trash(core)
    remaps = Remaps(core, trash)
    layers, blobs, volumes = Layers(core, content, trash, remaps, limits), Blobs(core, content), Volumes(core)
    health = HealthChecks(core)
    wanted = settings.network
    host = host or HostNetwork(network_tag(store.root), forwards=wanted.forwards, rules=wanted.rules)
    networks = Networks(core, host, default_bridge(store.root))
    endpoints = Endpoints(core, networks)
    containers = Containers(core, volumes, health, endpoints)
    lifecycle = Lifecycle(core, containers, volumes, health, trash, endpoints, remaps)
    health.act = lifecycle.act_on_failing_health
    connections = NetworkConnections(core, networks, endpoints)
    lifecycle.has_started = lambda child: connections.linked_has_started(containers.linked.parents(child))
    images = Images(core, layers)
    client = client or RegistryClient(settings.registries)
    downloads = downloads or Downloads(content, settings.registries.downloads)
    pulls = Pulls(core, content, layers, images, blobs, client, downloads)
    archives = Archives(core, content, layers, images, blobs, limits)
    files, audit = Files(core, limits), Audit(core)
    services = Services(
        containers=containers,
        lifecycle=lifecycle,
        execs=Execs(core),
        images=images,
        image_removal=ImageRemoval(core, layers, images, blobs, remaps),
        archives=archives,
        commits=Commits(core, content, blobs, archives, lifecycle),
        files=files,
        pulls=pulls,
        builds=Builds(core, content, layers, images, blobs, pulls, Runner(core, containers, lifecycle), trash, limits),
        pushes=Pushes(core, content, images, blobs, client, limits),
        registries=Registries(client),
        fsck=Fsck(core, content, layers, blobs, limits),
        volumes=volumes,
        networks=networks,
        network_connections=connections,
        audit=audit,
        redactions=Redactions(core, audit),
        events=Events(core),
        system=System(core, remaps, settings.registries),
        statistics=Statistics(core),
        updates=Updates(core, lambda parent: connections.linked_has_started([parent])),
        who_ran=WhoRan(core),
        bundles=Bundles(core, files),
    )
    restarts = Restarts(core, lifecycle)
    monitor = Monitor(core, lifecycle, restarts, endpoints)
    return Engine(core, services, monitor, restarts, health, content, blobs, layers, downloads, trash)


def recover(engine: Engine, rebooted: bool) -> None:
    """Settle what an earlier life of the engine left open."""
    core, services = engine.core, engine.services
    context = Context({"door": "recovery"}, f"recovery-{core.randomness.hex(16)}", "start")
    StoreRecovery(
        core, engine.content, engine.blobs, engine.layers, services.image_removal, services.volumes, context
    ).run()
    network_recovery = NetworkRecovery(core, services.networks, context)
    network_recovery.run()
    ContainerRecovery(core, services.lifecycle, engine.monitor, context, rebooted).run()
    services.volumes.settle_fillings()
    services.builds.recover(context, INTERRUPTED)
    network_recovery.finish()
    for container in core.log.all("container"):
        if container.health_check and container.alive:
            engine.health.watch(container.id)
    engine.restarts.resume(context)


def runtime_roots(settings: Settings, run_dir: Path) -> tuple[str, ...]:
    """The roots of docket-runtime whose journals this engine follows: the usual one belongs to the usual engine."""
    if settings.runtime_roots is not None:
        return settings.runtime_roots
    return ("/run/docket-runtime",) if run_dir == Path("/run/docket") else ()


def network_tag(root: Path) -> str:
    """What tells an engine's interfaces and rules from those of others on the host."""
    return hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]


def default_bridge(root: Path) -> str:
    """The interface of the network "bridge": ``docket0`` for the default root, a name of its own for others."""
    return "docket0" if str(root.resolve()) == DEFAULT_ROOT else f"dkt{network_tag(root)}"


def cgroup_parent(root: Path) -> str:
    """``docket`` for the default root; others get a name of their own, so that engines live side by side."""
    resolved = str(root.resolve())
    if resolved == DEFAULT_ROOT:
        return "docket"
    return f"docket-{hashlib.sha256(resolved.encode()).hexdigest()[:12]}"


def lock_root(root: Path) -> int:
    """A descriptor that holds the data root for this process. Raises Conflict where another daemon has it."""
    fd = os.open(root / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode().strip() or "unknown"
        os.close(fd)
        raise Conflict(
            f"another docket daemon (pid {holder}) runs on {root}: stop it, or give another --root"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="docket daemon", description="Run the daemon in the foreground.")
    parser.add_argument("--root", default=default_root(), help="where the data lies")
    parser.add_argument("--run-dir", default=default_run_dir(), help="what a reboot should forget")
    parser.add_argument(
        "--config-file", default=os.environ.get("DOCKET_CONFIG"),
        help=f"settings: registries, limits (default {default_config()}, which need not exist)",
    )  # fmt: skip
    for name, key, kind in engine_settings.SETTING_FLAGS:
        how: dict[str, Any] = {"action": "append", "default": []} if kind is str else {"type": kind}
        if kind is bool:
            how = {"action": argparse.BooleanOptionalAction}
        parser.add_argument(f"--{name}", dest=key, help=f"setting {key}", **how)
    return parser.parse_args(argv)


def _flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of the settings, as the file would have it; paths count from where the command was typed."""
    given = {key: getattr(arguments, key) for _, key, _ in engine_settings.SETTING_FLAGS}
    return {key: str(value.absolute()) if isinstance(value, Path) else value for key, value in given.items()}


def _without_root(run_dir: Path) -> tuple[Rootless, dict[str, str]]:
    """An ordinary user's engine: its user namespace, and what its spawners are told. Before there is a thread."""
    rootless = user_namespace(run_dir / "shims")
    environment = cgroups.hand_over()
    for note in rootless_notes.about(rootless, None)["Warnings"] or ():
        print(f"docket: {note}", file=sys.stderr, flush=True)
    return rootless, environment


class StopSignal:
    """SIGTERM or SIGINT, waited for by a descriptor: the kernel may deliver a signal to any thread, and one that waits
    for a lock would not learn of it."""

    def __enter__(self) -> StopSignal:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        return self

    def wait(self) -> None:
        self._reader.recv(1)

    def __exit__(self, *exception: object) -> None:
        signal.set_wakeup_fd(-1)
        self._reader.close()
        self._writer.close()


def _answer(engine: Engine, plans: Sequence[Callable[[], Door]], settings: Settings) -> None:
    """Answer requests, and follow what goes on beside the engine, until SIGTERM or SIGINT."""
    doors = open_all(plans)
    server = Server(doors, engine.services, clock=engine.core.clock.now_us)
    firewall = FirewallWatch(engine.services.networks.rules)
    if engine.core.rootless is None:
        firewall.start()
    reading = Context({"door": "journal"}, f"journal-{os.getpid()}", "start")
    journals = RuntimeJournals(engine.core, runtime_roots(settings, engine.core.run_dir), reading)
    journals.start()
    with StopSignal() as stop:
        server.start()
        print(f"docket: listening on {', '.join(map(str, doors))}", file=sys.stderr, flush=True)
        notify("READY=1")
        stop.wait()
        notify("STOPPING=1")
    server.stop()
    firewall.close()
    journals.close()


def serve(root: Path, run_dir: Path, settings: Settings = Settings()) -> None:
    """Run until SIGTERM or SIGINT. Containers go on without the daemon."""
    plans = plan_doors(settings.listening, os.environ.get("DOCKET_HOST") or f"unix://{run_dir}/docket.sock")
    store = Store(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    store.make()
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    lock = lock_root(root)
    rootless, environment = _without_root(run_dir) if os.geteuid() != 0 else (None, None)
    boot, clock, timers = boot_id(), SystemClock(), SystemTimers()
    forget_volatile(run_dir, boot)
    log = EventLog(root / "docket.db", clock=clock.now_us, boot_id=boot)
    rebooted = any(recorded.boot_id != boot for recorded in log.events(after=max(log.head().seq - 1, 0)))
    engine: list[Engine] = []
    composed = threading.Event()

    def on_message(container_id: str, message: dict) -> None:
        composed.wait()
        engine[0].monitor.handle(container_id, message)

    supervisor = Supervisor(
        run_dir=run_dir, spawner_argv_module="engine.spawner", on_message=on_message,
        door=None if rootless else run_dir / "runtime.sock",  # the name that engine.oci.served knows
        namespace_fd=rootless.namespace_fd if rootless else -1, environment=environment,
    )  # fmt: skip
    try:
        engine.append(compose(
            log, supervisor, store, run_dir, clock, SystemRandomness(), timers, settings, rootless=rootless
        ))
        composed.set()
        recover(engine[0], rebooted)
        if warning := engine[0].services.networks.default.outdated():
            print(f"docket: {warning}", file=sys.stderr, flush=True)
        gc.freeze()  # what is there now stays: the collector need not walk over it again
        _answer(engine[0], plans, settings)
        engine[0].services.networks.bridges.rest(Context({"door": "shutdown"}, f"shutdown-{os.getpid()}", "stop"))
        engine[0].trash.empty()
        supervisor.run_job("cgroup.tidy", {"cgroup_path": engine[0].core.cgroup_parent})
    finally:
        for one in engine:
            one.downloads.close()
        timers.close()
        supervisor.close()
        log.close()
        os.close(lock)


def main(argv: Sequence[str] | None = None) -> int:
    """Errors at the start are one line, and exit status 1."""
    arguments = _arguments(argv)
    run_dir = Path(arguments.run_dir).absolute()
    allocator.share_one_arena()
    os.umask(0o022)  # others read what containers find mounted; what they may not has its mode
    try:
        settings = engine_settings.read(
            Path(arguments.config_file or default_config()),
            must_exist=bool(arguments.config_file),
            flags=_flags(arguments),
        )
        serve(Path(arguments.root).absolute(), run_dir, settings)
    except (EngineError, OSError) as error:
        print(f"docket: {describe(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
