"""``--cache-from``: the steps of images that say what each of their steps depended on.

Every image that is built here says so in its configuration (``ground.STEPS``), which is part of its id; a layer is used
only for the same key on the very same layers. An image that doesn't say it can't be checked against anything, and is
refused as a source: the reason is in the build's output, and the build goes on without it.
"""

from __future__ import annotations

import re
from typing import Any, Iterator, Mapping

from engine.builder.bases import Bases
from engine.builder.ground import STEPS
from engine.builder.orders import ImportedStep, Site
from engine.domain.errors import EngineError, describe
from engine.images.config import chain_ids
from engine.services.as_of import parse_time_us
from engine.services.core import Core
from engine.services.views import parse_document

_KEY = re.compile(r"sha256:[0-9a-f]{64}")


def import_steps(core: Core, bases: Bases, site: Site) -> None:
    """Look the images up, or pull them, and note their steps in ``site.imported``. Raises nothing of an image's."""
    for name in site.order.cache_from:
        try:
            image = bases.image(name, site.order.platform, site)
            steps = dict(steps_of(parse_document(core.log.document(image.id)), name))
        except (EngineError, OSError) as error:
            site.tell({"stream": f"[Warning] --cache-from {name}: not used: {describe(error)}\n"})
            continue
        if not steps:
            site.tell({"stream": f"[Warning] --cache-from {name}: not used: the image doesn't say what its steps "
                                 "depended on, since it was not built by docket build\n"})  # fmt: skip
        site.standing.update(image.chain_ids[-1:])
        site.imported |= {key: step for key, step in steps.items() if key not in site.imported}


def steps_of(config: Mapping[str, Any], image: str) -> Iterator[tuple[str, ImportedStep]]:
    """The steps that a configuration lists; malformed ones count for nothing."""
    chain = chain_ids(config["rootfs"]["diff_ids"])
    times = [entry.get("created") or "" for entry in config.get("history") or [] if not entry.get("empty_layer")]
    listed = config.get(STEPS)
    for step in listed if isinstance(listed, list) else ():
        key, layers = (step.get("key"), step.get("layers")) if isinstance(step, dict) else (None, None)
        is_key = isinstance(key, str) and _KEY.fullmatch(key)
        if not is_key or not isinstance(layers, int) or isinstance(layers, bool) or not 0 <= layers <= len(chain):
            continue
        is_empty = step.get("empty") is True
        if layers or is_empty:
            created = times[layers - 1] if 0 < layers <= len(times) else ""
            yield str(key), ImportedStep(image, chain[:layers], is_empty, _microseconds(created))


def _microseconds(text: str) -> int:
    try:
        return parse_time_us(text, 0)
    except EngineError:
        return 0
