"""The flags of ``create`` and ``run``: everything that the API can carry. The engine refuses what it can't do."""

from __future__ import annotations

from engine.cli.create_values import (
    parse_add_host,
    parse_attach,
    parse_device_rate,
    parse_label,
    parse_link,
    parse_sysctl,
    parse_time_offset,
    parse_ulimit,
    parse_weight,
)
from engine.cli.flags import Flag, content_trust, grouped, integer, listed, switch, text
from engine.cli.mount_flag import parse_mount_flag
from engine.cli.quantities import parse_cpus, parse_size, parse_swap
from engine.client.moments import duration_ns


def _size(names: str, help: str) -> Flag:
    return Flag(names, "bytes", help, 0, parse_size)


def _duration(names: str, help: str) -> Flag:
    return Flag(names, "duration", help, 0, duration_ns)


_PROCESS = (
    text("--cidfile", "Write the container ID to the file"),
    text("--detach-keys", "Override the key sequence for detaching a container"),
    text("--entrypoint", "Overwrite the default ENTRYPOINT of the image"),
    listed("-e, --env", "Set environment variables"),
    listed("--env-file", "Read in a file of environment variables"),
    listed("--group-add", "Add additional groups to join"),
    switch("--init", "Run an init inside the container that forwards signals and reaps processes"),
    switch("-i, --interactive", "Keep STDIN open even if not attached"),
    listed("-a, --attach", "Attach to STDIN, STDOUT or STDERR", parse=parse_attach),
    text("--stop-signal", "Signal to stop the container"),
    integer("--stop-timeout", "Timeout (in seconds) to stop a container", None),
    switch("-t, --tty", "Allocate a pseudo-TTY"),
    text("-u, --user", "Username or UID (format: <name|uid>[:<group|gid>])"),
    text("-w, --workdir", "Working directory inside the container"),
)
_IDENTITY = (
    listed("--annotation", "Add an annotation to the container (passed through to the OCI runtime)", "map"),
    content_trust(),
    text("--domainname", "Container NIS domain name"),
    text("-h, --hostname", "Container host name"),
    listed("-l, --label", "Set meta data on a container", parse=parse_label),
    listed("--label-file", "Read in a line delimited file of labels"),
    text("--name", "Assign a name to the container"),
    text("--platform", "Set platform if server is multi-platform capable"),
    text("--pull", 'Pull image before running ("always", "missing", "never")', "missing"),
    switch("-q, --quiet", "Suppress the pull output"),
    text("--restart", "Restart policy to apply when a container exits", "no"),
    switch("--rm", "Automatically remove the container and its associated anonymous volumes when it exits"),
    text("--runtime", "Runtime to use for this container"),
)
_LIMITS = (
    integer("--blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    listed("--blkio-weight-device", "Block IO weight (relative device weight)", parse=parse_weight),
    integer("--cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
    integer("--cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    integer("--cpu-rt-period", "Limit CPU real-time period in microseconds"),
    integer("--cpu-rt-runtime", "Limit CPU real-time runtime in microseconds"),
    integer("-c, --cpu-shares", "CPU shares (relative weight)"),
    Flag("--cpus", "decimal", "Number of CPUs", 0, parse_cpus),
    text("--cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
    text("--cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
    listed("--device-read-bps", "Limit read rate (bytes per second) from a device", parse=parse_device_rate),
    listed("--device-read-iops", "Limit read rate (IO per second) from a device", parse=parse_device_rate),
    listed("--device-write-bps", "Limit write rate (bytes per second) to a device", parse=parse_device_rate),
    listed("--device-write-iops", "Limit write rate (IO per second) to a device", parse=parse_device_rate),
    _size("-m, --memory", "Memory limit"),
    _size("--memory-reservation", "Memory soft limit"),
    Flag("--memory-swap", "bytes", "Limit of memory plus swap: '-1' to enable unlimited swap", 0, parse_swap),
    integer("--memory-swappiness", "Tune container memory swappiness (0 to 100)", -1),
    switch("--oom-kill-disable", "Disable OOM Killer"),
    integer("--oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)"),
    integer("--pids-limit", "Tune container pids limit (set -1 for unlimited)"),
    _size("--shm-size", "Size of /dev/shm"),
    listed("--ulimit", "Ulimit options", "ulimit", parse_ulimit),
)
_ISOLATION = (
    listed("--cap-add", "Add Linux capabilities"),
    listed("--cap-drop", "Drop Linux capabilities"),
    text("--cgroup-parent", "Optional parent cgroup for the container"),
    text("--cgroupns", "Cgroup namespace to use (host|private)"),
    listed("--device", "Add a host device to the container"),
    listed("--device-cgroup-rule", "Add a rule to the cgroup allowed devices list"),
    text("--ipc", "IPC mode to use"),
    text("--pid", "PID namespace to use"),
    switch("--privileged", "Give extended privileges to this container"),
    switch("--read-only", "Mount the container's root filesystem as read only"),
    listed("--security-opt", "Security Options"),
    listed("--sysctl", "Sysctl options", "map", parse_sysctl),
    listed("--time-offset", "Clocks ahead of the host's, as boottime=24h or monotonic=-1h", "map", parse_time_offset),
    text("--userns", "User namespace to use (host, remap or remap:USER of /etc/subuid)"),
    text("--uts", "UTS namespace to use"),
)
_STORAGE = (
    listed("--mount", "Attach a filesystem mount to the container", "mount", parse_mount_flag),
    listed("--storage-opt", "Storage driver options for the container"),
    listed("--tmpfs", "Mount a tmpfs directory"),
    listed("-v, --volume", "Bind mount a volume"),
    text("--volume-driver", "Optional volume driver for the container"),
    listed("--volumes-from", "Mount volumes from the specified container(s)"),
)
_NETWORK = (
    listed("--add-host", "Add a custom host-to-IP mapping (host:ip)", parse=parse_add_host),
    listed("--dns", "Set custom DNS servers"),
    listed("--dns-option", "Set DNS options"),
    listed("--dns-search", "Set custom DNS search domains"),
    listed("--expose", "Expose a port or a range of ports"),
    text("--ip", "IPv4 address (e.g., 172.30.100.104)"),
    text("--ip6", "IPv6 address (e.g., 2001:db8::33)"),
    listed("--link", "Add link to another container (NAME or NAME:ALIAS)", parse=parse_link),
    text("--mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
    text("--network", "Connect a container to a network", "default", "network"),
    listed("--network-alias", "Add network-scoped alias for the container"),
    listed("-p, --publish", "Publish a container's port(s) to the host"),
    switch("-P, --publish-all", "Publish all exposed ports to random ports"),
)
_WATCHING = (
    text("--health-cmd", "Command to run to check health"),
    _duration("--health-interval", "Time between running the check (ms|s|m|h)"),
    text("--health-on-failure", "What to do when it becomes unhealthy (none|restart|stop|kill)"),
    integer("--health-retries", "Consecutive failures needed to report unhealthy"),
    _duration("--health-start-interval", "Time between running the check during the start period (ms|s|m|h)"),
    _duration("--health-start-period", "Time to initialize before failures count (ms|s|m|h)"),
    _duration("--health-timeout", "Maximum time to allow one check to run (ms|s|m|h)"),
    text("--log-driver", "Logging driver for the container"),
    listed("--log-opt", "Log driver options"),
    switch("--no-healthcheck", "Disable any container-specified HEALTHCHECK"),
)
CREATE_FLAGS = (
    *grouped("The container", *_IDENTITY), *grouped("The process and its streams", *_PROCESS),
    *grouped("Volumes and mounts", *_STORAGE), *grouped("Network", *_NETWORK), *grouped("Limits", *_LIMITS),
    *grouped("Isolation", *_ISOLATION), *grouped("Health and logs", *_WATCHING),
)  # fmt: skip
