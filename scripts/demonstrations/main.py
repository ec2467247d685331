"""The demonstrations by name. See scripts/demonstrate."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import parts
from beside import beside
from ground import ground
from throughput import throughput

PARTS = {
    "hosts": parts.hosts, "proxy": parts.proxy, "postgres": parts.postgres, "names": parts.names, "many": parts.many,
    "throughput": throughput, "beside": beside,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/demonstrate", description="Networks and volumes with real programs.")
    parser.add_argument("--image", type=Path, help="where the image's tarball is kept (made where it isn't there)")
    parser.add_argument("part", nargs="*", help=f"default: all of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.part if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}: there are {', '.join(PARTS)}")
    if os.geteuid() != 0:
        raise SystemExit("scripts/demonstrate needs root: run it with sudo")
    with ground(arguments.image) as (engine, image):
        for name in arguments.part or PARTS:
            print(f"{name}: {PARTS[name].__doc__}", flush=True)
            PARTS[name](engine, image)


if __name__ == "__main__":
    main()
