"""What a stage has come to: a file system of layers, an image configuration, and how both came about."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any, Mapping

from engine.images import config as image_config
from engine.images.changes import environment_of
from engine.services.oci_spec import DEFAULT_PATH

Settings = dict[str, Any]
STEPS = "docket.steps.v1"
"""A field of image configurations: the key of each cached step, and how many layers there are after it."""


@dataclass(slots=True)
class Ground:
    """``settings`` are Docker's ``Config``; ``arguments`` the ARGs in scope. ``history`` entries have their time in
    microseconds (``created_us``), None for those that change no file. ``platform`` holds the configuration's
    ``os``, ``architecture`` and ``variant``. ``image_id`` is the base image's ("" from scratch). ``steps`` are the
    cached steps that led here, for whoever builds with ``--cache-from`` elsewhere."""

    settings: Settings = field(default_factory=dict)
    chain_ids: list[str] = field(default_factory=list)
    diff_ids: list[str] = field(default_factory=list)
    blobs: list[str] = field(default_factory=list)
    base_history: list[dict[str, Any]] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    platform: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    image_id: str = ""
    author: str = ""
    has_own_cmd: bool = False
    steps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def top(self) -> str:
        """The chain ID of the file system; "" where it is empty."""
        return self.chain_ids[-1] if self.chain_ids else ""

    @property
    def workdir(self) -> str:
        return self.settings.get("WorkingDir") or "/"

    @property
    def shell(self) -> list[str]:
        return self.settings.get("Shell") or ["/bin/sh", "-c"]

    def variables(self) -> dict[str, str]:
        """What ``$name`` means in an instruction: the environment wins over arguments."""
        return {**self.arguments, **environment_of(self.settings)}

    def set_default_path(self) -> None:
        """As Docker does where an image says nothing of it."""
        if "PATH" not in environment_of(self.settings):
            self.settings["Env"] = [DEFAULT_PATH, *(self.settings.get("Env") or [])]

    def stand_on(self) -> Ground:
        """A stage that begins with this one as its base: it knows the same arguments."""
        ground = copy.deepcopy(self)
        ground.has_own_cmd = False
        return ground

    def add_layer(self, chain_id: str, diff_id: str, blob: str) -> None:
        self.chain_ids.append(chain_id)
        self.diff_ids.append(diff_id)
        self.blobs.append(blob)

    def add_step(self, key: str, *, is_layer: bool) -> None:
        """``layers`` counts those of the file system afterwards, the base's included."""
        self.steps.append({"key": key, "layers": len(self.chain_ids), **({} if is_layer else {"empty": True})})

    def so_far(self) -> bytes:
        """What tells this state from others, without the times."""
        return json.dumps([self.chain_ids, self.settings, len(self.history)], sort_keys=True).encode()

    def document(self, created_us: int, epoch_us: int | None = None) -> bytes:
        """The image's configuration. Steps that change no file have the time of the last that did."""
        entries, last = [], created_us
        times = [entry["created_us"] for entry in self.history if entry["created_us"] is not None]
        last = times[0] if times else created_us
        for entry in self.history:
            last = entry["created_us"] if entry["created_us"] is not None else last
            moment = last if epoch_us is None else min(last, epoch_us)
            shown = {key: value for key, value in entry.items() if key != "created_us"}
            entries.append({**shown, "created": image_config.rfc3339(moment)})
        document = {
            **self.platform, "created": image_config.rfc3339(created_us), "config": self.settings,
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids}, "history": [*self.base_history, *entries],
            **({"author": self.author} if self.author else {}), **({STEPS: self.steps} if self.steps else {}),
        }  # fmt: skip
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def of_image(cls, config: Mapping[str, Any], image_id: str, chain_ids: list[str], blobs: list[str]) -> Ground:
        """``config`` is the image's configuration."""
        own = config.get("config") or {}
        settings = {key: value for key, value in own.items() if value not in (None, "", [], {})}
        for gone in ("Image", "Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty"):
            settings.pop(gone, None)  # what images of Docker's first years say of the container they came from
        platform = {key: config[key] for key in ("architecture", "os", "variant", "os.version") if config.get(key)}
        history = config.get("history") or [{} for _ in chain_ids]
        return cls(
            settings, list(chain_ids), list(config["rootfs"]["diff_ids"]), blobs, list(history), [], platform, {},
            image_id, config.get("author") or "",
        )  # fmt: skip

    @classmethod
    def scratch(cls) -> Ground:
        system, architecture = image_config.host_platform()
        return cls(platform={"os": system, "architecture": architecture})
