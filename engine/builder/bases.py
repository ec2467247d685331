"""Images that a build stands on or copies from: those that are here, or pulled."""

from __future__ import annotations

from engine.builder.ground import Ground
from engine.builder.orders import Site
from engine.domain.errors import InvalidArgument, NotFound
from engine.domain.image import Image
from engine.images.platforms import of_config, parse, runs
from engine.images.references import Reference
from engine.services.core import Core
from engine.services.image_names import resolve_image
from engine.services.pulls import Pulls
from engine.services.views import parse_document


class Bases:
    """One for the engine."""

    def __init__(self, core: Core, pulls: Pulls) -> None:
        self._core = core
        self._pulls = pulls

    def ground(self, name: str, platform: str, site: Site) -> Ground:
        """Raises NotFound and what a pull raises."""
        image = self.image(name, platform, site, pull=site.order.pull)
        config = parse_document(self._core.log.document(image.id))
        states = [self._core.log.get("layer", chain_id) for chain_id in image.chain_ids]
        blobs = [state.blob_digest for state in states if state is not None]
        site.standing.update(image.chain_ids[-1:])
        return Ground.of_image(config, image.id, image.chain_ids, blobs)

    def image(self, name: str, platform: str, site: Site, *, pull: bool = False) -> Image:
        """The image of this name and platform ("": whichever is here, else this machine's)."""
        if not pull:
            try:
                image = resolve_image(self._core.log, name)
                if not platform or self._is_for(image, platform):
                    return image
            except NotFound:
                pass
        reference = Reference.parse(name)
        pulling = self._pulls.pull(
            reference, platform=platform or None, credentials=site.order.credentials(reference.domain),
            departed=site.departed, context=site.context,
        )  # fmt: skip
        for notice in pulling:
            if not notice.id:
                site.tell({"status": notice.status})
        image = resolve_image(self._core.log, name)
        if platform and not self._is_for(image, platform):
            raise InvalidArgument(f"image {name} is for another platform than {platform}, also after a pull")
        return image

    def _is_for(self, image: Image, platform: str) -> bool:
        return runs(parse(platform), of_config(parse_document(self._core.log.document(image.id)))) > 0
