"""One valid value of every event, command and state, for tests that walk whole products of them."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from engine.domain import (
    build, cache, container, container_commands, document, endpoint, exec as exec_, image, layer, network, prune,
    remap, runtime, volume,
)  # fmt: skip
from engine.domain.machine import PREVIOUS, Event
from engine.domain.nouns import Noun

IDS = {
    "build": "b" * 64,
    "cache": "sha256:" + "a" * 64,
    "container": "c" * 64,
    "document": "sha256:" + "4" * 64,
    "endpoint": "d" * 64,
    "exec": "e" * 64,
    "network": "f" * 64,
    "image": "sha256:" + "1" * 64,
    "layer": "sha256:" + "2" * 64,
    "prune": "image",
    "remap": "sha256:" + "d" * 64,
    "runtime": "9" * 64,
    "volume": "data",
}
REFERENCE = "docker.io/library/base:latest"

SPECIAL = {
    "created_at_us": 1_000_000,
    "started_at_us": 2_000_000,
    "finished_at_us": 3_000_000,
    "build_id": IDS["build"],
    "key": IDS["cache"],
    "container_id": IDS["container"],
    "exec_id": IDS["exec"],
    "document_digest": IDS["document"],
    "endpoint_id": IDS["endpoint"],
    "network_id": IDS["network"],
    "prune_id": IDS["prune"],
    "remap_id": IDS["remap"],
    "runtime_id": IDS["runtime"],
    "image_id": IDS["image"],
    "chain_id": IDS["layer"],
    "reference": REFERENCE,
    "signal": 15,
}
PLAIN: dict[Any, Any] = {str: "text", int: 7, bool: True, list: ["a"], dict: {"k": "v"}}


def sample_event(noun: Noun, event_type: type[Event], **changes: Any) -> Event:
    """An event with a value of the right type in every field."""
    hints = typing.get_type_hints(event_type)
    values = {}
    for field in dataclasses.fields(event_type):  # type: ignore[arg-type]
        kind = typing.get_origin(hints[field.name]) or hints[field.name]
        values[field.name] = SPECIAL.get(field.name, PLAIN[kind])
    if noun.name == "volume":
        values["name"] = IDS["volume"]
    return event_type(**{**values, **changes})


def first_event(noun: Noun) -> Event:
    """The event that makes an object out of nothing."""
    kind = next(event for (status, event) in noun.module.TRANSITIONS if status is None)
    return sample_event(noun, kind)


def state_in(noun: Noun, status: Any, intents: tuple[str, ...] = ()) -> Any:
    """A state of that status with exactly these intents open; None for no object at all."""
    if status is None:
        return None
    state = noun.evolve(None, first_event(noun))
    changes: dict[str, Any] = {"status": status, "intents": intents}
    if "resting" in {field.name for field in dataclasses.fields(state)}:
        changes["resting"] = _resting(noun, status)
    if noun.name == "image":
        changes["references"] = (REFERENCE,)
    return dataclasses.replace(state, **changes)


def _resting(noun: Noun, status: Any) -> Any:
    """A status from which ``status`` was entered, where an outcome may lead back to it."""
    table = noun.module.TRANSITIONS
    if not any(before is status and target is PREVIOUS for (before, _), target in table.items()):
        return None
    return next(before for (before, _), target in table.items() if target is status and before is not status)


COMMANDS: dict[str, list[Any]] = {
    "build": [
        build.StartBuild(build.BuildStarted(IDS["build"], [REFERENCE], "Dockerfile", "", "", 1_000_000)),
        build.TellBuild(
            (build.BuildContextReceived(IDS["build"], "sha256:" + "3" * 64, 10, 1, "sha256:" + "4" * 64),)
        ),
        build.TellBuild(
            (
                build.BuildStepDone(
                    IDS["build"], "0", 2, "RUN x", "made", "new", IDS["cache"], IDS["layer"], 1_000
                ),
            )
        ),
    ],
    "runtime": [
        runtime.TakeJournal(runtime.RuntimeJournalTaken(IDS["runtime"], "/run/r", "boot", 1, 1, "0" * 64, [{"a": 1}])),
        runtime.ReportBrokenJournal(runtime.RuntimeJournalBroken(IDS["runtime"], "/run/r", "boot", 1, "changed")),
    ],
    "prune": [prune.RecordPrune(kind, 2, 1000) for kind in (IDS["prune"], "nothing")],
    "document": [document.RedactDocument(IDS["document"], reason) for reason in ("asked for", "")],
    "cache": [
        cache.RecordCache(
            cache.CacheRecorded(
                IDS["cache"], [IDS["layer"]], False, "RUN x", "Dockerfile:2", "sha256:" + "3" * 64, IDS["build"], 1
            )
        ),
        cache.ForgetCache("prune"),
    ],
    "container": [
        container_commands.CreateContainer(
            container.ContainerCreated(
                IDS["container"], "web", IDS["image"], "base", "sha256:" + "3" * 64, ["sleep", "1"], 1_000_000
            )
        ),
        container_commands.StartContainer(),
        container_commands.StartContainer(scheduled=True),
        container_commands.StartContainer(attached=(("stdout", "stderr"),)),
        container_commands.AttachClient(("stdin", "stdout")),
        container_commands.StopContainer(signal=15, timeout_s=10),
        container_commands.KillContainer(signal=9),
        container_commands.KillContainer(signal=0),
        container_commands.KillContainer(signal=65),
        container_commands.PauseContainer(),
        container_commands.UpdateContainer("sha256:" + "3" * 64),
        container_commands.UnpauseContainer(),
        container_commands.RenameContainer("other"),
        container_commands.AccessFiles(container_commands.FileAccess.READ, "/etc"),
        container_commands.RenameContainer("text"),
        container_commands.RemoveContainer(),
        container_commands.RemoveContainer(remove_volumes=True),
    ],
    "endpoint": [
        endpoint.CreateEndpoint(endpoint.EndpointCreated(IDS["endpoint"], IDS["network"], IDS["container"])),
        endpoint.AttachEndpoint(
            endpoint.EndpointAttaching(IDS["endpoint"], ["10.9.0.5"], "02:42:0a:09:00:05", "vd1234")
        ),
        endpoint.DetachEndpoint(),
        endpoint.RemoveEndpoint(),
    ],
    "exec": [
        *(
            exec_.CreateExec(
                exec_.ExecCreated(IDS["exec"], IDS["container"], "sha256:" + "4" * 64, ["id"], 1_000_000), status
            )
            for status in ("running", "paused", "exited", "created")
        ),
        exec_.StartExec(),
    ],
    "image": [
        image.CreateImage(image.ImageCreated(IDS["image"], [IDS["layer"]], 10, 1_000_000, "import")),
        image.PullImage(
            image.ImagePulling(
                IDS["image"], [IDS["layer"]], REFERENCE, "sha256:" + "8" * 64, "sha256:" + "9" * 64, "https://r.example"
            )
        ),
        image.TagImage(REFERENCE),
        image.TagImage(REFERENCE, "docker.io/library/base@sha256:" + "8" * 64, "https://r.example"),
        image.PushImage(REFERENCE),
        image.SaveImage(),
        image.TagImage("docker.io/library/other:latest"),
        image.UntagImage(REFERENCE),
        image.UntagImage("docker.io/library/absent:latest"),
        image.UntagImage(REFERENCE, "sha256:" + "5" * 64),
        image.RemoveImage(),
        image.RemoveImage(("c" * 64,)),
    ],
    "layer": [
        layer.UnpackLayer(IDS["layer"], "sha256:" + "6" * 64, "", "import", "sha256:" + "7" * 64),
        layer.UnpackLayer(
            IDS["layer"], "sha256:" + "6" * 64, "", REFERENCE, "sha256:" + "7" * 64,
            layer.LayerFetched(IDS["layer"], "sha256:" + "7" * 64, 10, 10, "https://r.example", REFERENCE),
        ),
        layer.RemoveLayer(),
        layer.RemoveLayer(("sha256:" + "1" * 64,)),
    ],
    "network": [
        network.CreateNetwork(
            network.NetworkCreated(
                IDS["network"], "net", 1_000_000, "bridge", "br-ffff", [{"subnet": "10.9.0.0/24"}], 1500
            )
        ),
        network.RaiseNetwork(),
        network.LowerNetwork(),
        network.LowerNetwork(("web",)),
        network.RemoveNetwork(),
        network.RemoveNetwork(("web",)),
    ],
    "remap": [
        remap.CopyLayer(remap.RemapCopying(IDS["remap"], IDS["layer"], "0 300000 65536\n", "0 300000 65536\n")),
        remap.RemoveRemap("prune"),
        remap.RemoveRemap("prune", (IDS["container"],)),
    ],
    "volume": [
        volume.CreateVolume(volume.VolumeCreating("data", 1_000_000)),
        volume.CreateVolume(volume.VolumeCreating("data", 1_000_000, options={"type": "tmpfs"})),
        volume.RemoveVolume(),
        volume.RemoveVolume((IDS["container"],)),
    ],
}


def commands_of(noun: Noun) -> set[type]:
    """The command classes of a machine: what their module defines beside events, states and statuses."""
    defined = {
        value
        for value in vars(noun.commands).values()
        if dataclasses.is_dataclass(value) and isinstance(value, type) and value.__module__ == noun.commands.__name__
    }
    return {kind for kind in defined if not issubclass(kind, Event) and kind is not noun.state}
