"""What containers use, and other limits for those that run: stats, top and update."""

from __future__ import annotations

import pytest

from support.engine import Engine, base_config
from support.machine import cgroup_mounts
from e2e.test_isolation import evidence

pytestmark = pytest.mark.kernel


def test_statistics_of_a_busy_container(engine: Engine) -> None:
    engine.run("-d", "--name", "busy", "-m", "64m", "--pids-limit", "9", "base", "sh", "-c", "while :; do :; done")
    answer = engine.api("GET", "/containers/busy/stats?stream=0").json
    used = answer["cpu_stats"]["cpu_usage"]["total_usage"] - answer["precpu_stats"]["cpu_usage"]["total_usage"]
    passed = answer["cpu_stats"]["system_cpu_usage"] - answer["precpu_stats"]["system_cpu_usage"]
    assert 0 < used <= passed
    assert answer["memory_stats"]["limit"] == 64 << 20 and 0 < answer["memory_stats"]["usage"] < 64 << 20
    assert answer["pids_stats"] == {"current": 1, "limit": 9}
    assert answer["name"] == "/busy" and answer["read"] > answer["preread"]
    header, row = engine.docket("stats", "--no-stream").stdout.splitlines()
    assert header.split("  ")[0] == "CONTAINER ID" and "MEM USAGE / LIMIT" in header
    assert "busy" in row and "/ 64MiB" in row and float(row.split("%")[0].split()[-1]) > 0


def test_statistics_come_once_a_second(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "base", "sleep", "100")
    command = engine.spawn("stats", "--format", "{{.Name}} {{.PIDs}}")
    assert command.stdout is not None
    assert [command.stdout.readline() for _ in range(2)] == ["web 1\n"] * 2
    command.kill()
    command.communicate()
    one = engine.api("GET", "/containers/web/stats?stream=0&one-shot=1").json
    assert one["preread"].startswith("0001") and one["pids_stats"]["current"] == 1


def test_statistics_of_one_that_rests_and_of_none(engine: Engine) -> None:
    engine.docket("create", "--network", "none", "--name", "still", "base", "true")
    assert engine.api("GET", "/containers/still/stats?stream=0").json["memory_stats"] == {}
    assert "0B / 0B" in engine.docket("stats", "--no-stream", "--all").stdout
    assert "No such container" in engine.refused("stats", "--no-stream", "nobody")


def test_dockers_client_reads_them(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "-m", "32m", "base", "sleep", "100")
    shown = engine.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}").stdout
    assert shown.startswith("web ") and shown.strip().endswith("/ 32MiB 1")


def test_top_in_columns_of_ones_own(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "-u", "1000", "base", "sleep", "4711")
    pid = str(engine.inspect("web")["State"]["Pid"])
    header, row = engine.docket("top", "web", "-o", "pid,uid,args").stdout.splitlines()
    assert header.split() == ["PID", "UID", "COMMAND"] and row.split() == [pid, "1000", "sleep", "4711"]
    header, row = engine.docket("top", "web", "aux").stdout.splitlines()
    assert header.split()[:3] == ["USER", "PID", "%CPU"] and row.split()[1] == pid
    assert engine.docket("top", "web", "-eo", "pid=WHO").stdout.split() == ["WHO", pid]
    assert "wings" in engine.refused("top", "web", "-o", "wings")


def test_limits_change_while_it_runs(engine: Engine) -> None:
    if "memory" not in cgroup_mounts():
        pytest.skip("kernel or machine lacks cgroup v1, whose files this test reads")
    engine.run("-d", "--name", "web", "-m", "64m", "base", "sleep", "100")
    engine.docket("update", "-m", "32m", "--memory-swap", "64m", "--cpus", "0.5", "--pids-limit", "20", "web")
    read = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max"
    inside = engine.docket("exec", "web", "sh", "-c", read).stdout
    assert inside.split() == [str(32 << 20), "50000", "20"]
    host = engine.inspect("web")["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (32 << 20, 5 * 10**8, 20)
    updated = [event for event in engine.trail("web") if event["type"] == "container.updated"][-1]["data"]
    assert updated["limits"]["memory.limit_in_bytes"] == str(32 << 20), "as the kernel says"
    assert evidence(engine, "web")["limits"]["memory.limit_in_bytes"] == str(64 << 20), "the start is history"


def test_an_update_that_can_not_be_leaves_everything_as_it_was(engine: Engine) -> None:
    engine.run("-d", "--name", "web", "--pids-limit", "20", "base", "sleep", "100")
    engine.refused("update", "--pids-limit", "30", "--cpuset-mems", "7", "web")
    assert engine.inspect("web")["HostConfig"]["PidsLimit"] == 20
    if "pids" in cgroup_mounts():
        assert engine.docket("exec", "web", "cat", "/sys/fs/cgroup/pids/pids.max").stdout == "20\n"
    assert engine.event_types("web")[-1] != "container.updated"
    assert "container.update_failed" in engine.event_types("web")


@pytest.mark.parametrize(
    "flags, message",
    [
        (("-m", "1m"), "Minimum memory limit allowed is 6MB"),
        (("-m", "512m"), "update the memoryswap at the same time"),
        (("--cpus", "999"), "range of CPUs"),
        (("--restart", "perhaps"), "unknown policy"),
        ((), "you must provide one or more flags"),
    ],
)
def test_what_update_refuses(engine: Engine, flags: tuple[str, ...], message: str) -> None:
    engine.run("-d", "--name", "web", "-m", "64m", "base", "sleep", "100")
    assert message in engine.refused("update", *flags, "web")


def test_an_update_of_one_that_rests_holds_from_its_next_start(engine: Engine) -> None:
    created = engine.api("POST", "/containers/create?name=still", base_config("sleep", "100")).json["Id"]
    engine.docket("update", "--pids-limit", "33", "--restart", "on-failure:2", "still")
    host = engine.inspect("still")["HostConfig"]
    assert host["PidsLimit"] == 33 and host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    engine.docket("start", "still")
    assert evidence(engine, created)["limits"]["pids.max"] == "33"


def test_an_interrupted_update_is_finished_by_the_next_daemon(own_engine: Engine) -> None:
    """Killed between the effect and its outcome: the limits are written again, and the log says so."""
    own_engine.run("-d", "--name", "web", "--pids-limit", "20", "base", "sleep", "100")
    own_engine.stop()
    own_engine.start(failpoints="log.commit=1*off->kill")
    own_engine.docket("update", "--pids-limit", "25", "web", check=False)
    assert own_engine.daemon is not None
    own_engine.daemon.wait(timeout=20)
    own_engine.start()
    assert own_engine.event_types("web")[-2:] == ["container.updating", "container.updated"]
    assert own_engine.inspect("web")["HostConfig"]["PidsLimit"] == 25
    updated = own_engine.trail("web")[-1]["data"]
    assert updated["limits"]["pids.max"] == "25"
