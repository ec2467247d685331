"""What ``docket info`` says of the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.kernel.cgroups import Hierarchy
from engine.services.system import abilities, proxies

ALL = ("memory", "cpu", "cpuset", "pids")


def test_limits_that_the_host_does_not_have_are_warned_of(tmp_path: Path) -> None:
    """In Docker's words. v2 has no switch for the OOM killer, which needs no warning."""
    v1 = abilities(Hierarchy({f"{tmp_path}/{name}": (name,) for name in ALL if name != "pids"}, None))
    assert v1["OomKillDisable"] and v1["CPUSet"] and not v1["PidsLimit"] and not v1["SwapLimit"]
    assert v1["Warnings"] == ["WARNING: No swap limit support", "WARNING: No pids limit support"]
    (tmp_path / "cgroup.controllers").write_text(" ".join(ALL))
    v2 = abilities(Hierarchy({}, str(tmp_path)))
    assert v2["SwapLimit"] and not v2["OomKillDisable"] and v2["Warnings"] is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [("http://proxy:3128", "http://proxy:3128"), ("http://me:secret@proxy", "http://xxxxx:xxxxx@proxy"),
     ("http://me:se@cret@proxy", "http://xxxxx:xxxxx@proxy"), ("", "")],
)  # fmt: skip
def test_proxies_without_their_credentials(address: str, shown: str) -> None:
    assert proxies({"https_proxy": address, "NO_PROXY": "localhost"}) == {
        "HttpProxy": "", "HttpsProxy": shown, "NoProxy": "localhost",
    }  # fmt: skip
