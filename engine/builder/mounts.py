"""``RUN --mount=type=...``: what a step sees beside its root, and what never becomes part of the layer."""

from __future__ import annotations

import csv
import posixpath
from dataclasses import dataclass, field

_NAMES = {
    "target": "target", "dst": "target", "destination": "target", "source": "source", "src": "source", "from": "from",
    "id": "id", "sharing": "sharing", "required": "required", "readonly": "readonly", "ro": "readonly", "rw": "rw",
    "readwrite": "rw", "size": "size", "mode": "mode", "uid": "uid", "gid": "gid", "env": "env", "type": "type",
}  # fmt: skip
_TYPES = {
    "bind": {"target", "source", "from", "rw", "readonly"},
    "cache": {"target", "id", "sharing", "mode", "uid", "gid", "readonly", "rw", "source", "from"},
    "tmpfs": {"target", "size"},
    "secret": {"target", "id", "required", "mode", "uid", "gid"},
    "ssh": {"target", "id", "required", "mode", "uid", "gid"},
}
_SWITCHES = ("required", "readonly", "rw")


@dataclass(frozen=True, slots=True)
class Mount:
    """``fields`` are the texts as they were given, by their main names; switches are "true" or "false"."""

    type: str
    fields: dict[str, str] = field(default_factory=dict)

    def text(self, name: str, default: str = "") -> str:
        return self.fields.get(name, default)

    def is_on(self, name: str) -> bool:
        return self.fields.get(name) == "true"

    @property
    def is_read_only(self) -> bool:
        if self.type == "bind":
            return not self.is_on("rw")
        return self.is_on("readonly")

    def number(self, name: str, default: int, base: int = 10) -> int:
        """Raises ValueError."""
        text = self.text(name)
        if not text:
            return default
        try:
            return int(text, base)
        except ValueError as error:
            raise ValueError(f"invalid value {text!r} for {name} of a mount") from error


def parse_mount(text: str) -> Mount:
    """Raises ValueError."""
    fields: dict[str, str] = {}
    try:
        parts = next(csv.reader([text]), [])
    except csv.Error as error:
        raise ValueError(f"invalid --mount={text[:100]}: {error}") from error
    for part in parts:
        key, has_value, value = part.partition("=")
        name = _NAMES.get(key.strip().lower())
        if name is None:
            raise ValueError(f"unexpected key {key!r} in --mount={text}")
        if name in _SWITCHES:
            value = value.lower() if has_value else "true"
            value = {"1": "true", "0": "false"}.get(value, value)
            if value not in ("true", "false"):
                raise ValueError(f"invalid value for {key!r} in --mount={text}: a boolean is expected")
        elif not has_value:
            raise ValueError(f"invalid field {part!r} in --mount={text}: must be a key=value pair")
        fields[name] = value
    kind = fields.pop("type", "bind")
    if kind not in _TYPES:
        raise ValueError(f"unsupported mount type {kind!r}: use bind, cache, tmpfs, secret or ssh")
    if kind == "secret" and "env" in fields:
        raise ValueError("a secret as a variable (env=) is not supported: read it from its file")
    if unknown := set(fields) - _TYPES[kind]:
        raise ValueError(f"{sorted(unknown)[0]!r} means nothing for a mount of type {kind}")
    mount = Mount(kind, fields)
    _check(mount, text)
    return mount


def _check(mount: Mount, text: str) -> None:
    if mount.type == "secret":
        if not (mount.text("id") or mount.text("target")):
            raise ValueError(f"a secret needs an id or a target: --mount={text}")
    elif mount.type != "ssh" and not mount.text("target"):
        raise ValueError(f"a mount of type {mount.type} needs a target: --mount={text}")
    if mount.text("sharing", "shared") not in ("shared", "private", "locked"):
        raise ValueError(f"unsupported sharing {mount.text('sharing')!r}: use shared, private or locked")
    mount.number("mode", 0, 8)
    mount.number("uid", 0)
    mount.number("gid", 0)


def target_in(mount: Mount, workdir: str, default: str = "") -> str:
    """The absolute place of the mount: a relative target counts from the step's working folder."""
    if mount.type == "secret":
        default = f"/run/secrets/{posixpath.basename(mount.text('id'))}"
    return "/" + posixpath.normpath(posixpath.join("/", workdir, mount.text("target", default))).lstrip("/")
