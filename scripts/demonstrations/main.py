"""The demonstrations by name. See scripts/demonstrate."""

from __future__ import annotations

import parts
from beside import beside
from ground import ground, what_to_show
from throughput import throughput

PARTS = {
    "hosts": parts.hosts, "proxy": parts.proxy, "postgres": parts.postgres, "names": parts.names, "many": parts.many,
    "throughput": throughput, "beside": beside,
}  # fmt: skip


def main() -> None:
    tarball, names = what_to_show("scripts/demonstrate", "Networks and volumes with real programs.", PARTS)
    with ground(tarball) as (engine, image):
        for name in names:
            print(f"{name}: {PARTS[name].__doc__}", flush=True)
            PARTS[name](engine, image)


if __name__ == "__main__":
    main()
