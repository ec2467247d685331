"""From a name to a manifest: what a registry gives for a tag or a digest, through an index to the platform's image.

Distribution specification, "Pulling manifests". A manifest is believed when its digest is the one that was asked for
or, by tag, the one that the registry announces along with it. Where the caller has documents already the registry is
asked (HEAD) which digest the name has now, and what is there is not sent again.
"""

from __future__ import annotations

import hashlib
from typing import Callable, Mapping

from engine.domain.errors import EngineError, InvalidArgument, NotSupported, Unavailable
from engine.images.content import check_digest
from engine.images.documents import parse_object
from engine.images.manifests import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Platform,
    parse_index,
    parse_manifest,
)
from engine.images.platforms import best, this_machine
from engine.images.registry.endpoint import Endpoint, Request
from engine.images.registry.transfers import Document, Resolved
from engine.images.registry.transport import Answer

MANIFEST_LIMIT_BYTES = 4 << 20
"""What the distribution specification asks registries to accept, and not more."""
_DEEPEST_INDEX = 2
_SCHEMA_1 = frozenset(f"application/vnd.docker.distribution.manifest.v1+{form}" for form in ("json", "prettyjws"))
_ACCEPTED = ", ".join(
    (DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, *(f"{kind};q=0.1" for kind in sorted(_SCHEMA_1)))
)
_SAYS_NOTHING = frozenset(("", "application/json", "application/octet-stream", "text/plain"))


Known = Callable[[str], bytes | None]
"""The document of a digest, where it is there."""


def resolve(
    endpoint: Endpoint, path: str, name: str, platform: Platform | None, known: Known | None = None
) -> Resolved:
    """``name`` is a tag or a digest. ``platform`` None is this machine's. Raises as Repository.resolve."""
    top = document = known and _unchanged(endpoint, path, name, known) or _manifest(endpoint, path, name)
    chosen: Descriptor | None = None
    for _ in range(_DEEPEST_INDEX):
        if document.media_type not in INDEX_TYPES:
            break
        chosen = best(parse_index(document.body, document.media_type), platform or this_machine())
        document = _chosen(endpoint, path, chosen, known)
    if document.media_type in INDEX_TYPES:
        raise NotSupported(f"index {document.digest} lies in an index of an index: indexes are nested too deeply")
    manifest = parse_manifest(document.body, document.media_type)
    return Resolved(top, document, manifest, chosen.platform if chosen else None, endpoint.source)


def _unchanged(endpoint: Endpoint, path: str, name: str, known: Known) -> Document | None:
    """What the name has now, where that is known. What a registry refuses is left for the whole question, whose answer
    says why."""
    try:
        answer = endpoint.ask(_request("HEAD", path, name))
    except Unavailable:
        raise
    except EngineError:
        return None
    answer.discard()
    digest = answer.headers.get("Docker-Content-Digest", "")
    body = known(digest) if digest.startswith("sha256:") and (digest == name or ":" not in name) else None
    return Document(_media_type(answer.headers, body, name), digest, body) if body is not None else None


def _chosen(endpoint: Endpoint, path: str, chosen: Descriptor, known: Known | None) -> Document:
    if chosen.media_type not in MANIFEST_TYPES | INDEX_TYPES:
        raise NotSupported(f"manifest {chosen.digest} has the unsupported media type {chosen.media_type[:100]!r}")
    if chosen.size_bytes > MANIFEST_LIMIT_BYTES:
        raise InvalidArgument(f"manifest {chosen.digest} of {chosen.size_bytes} bytes is larger than the limit of "
                              f"{MANIFEST_LIMIT_BYTES} bytes")  # fmt: skip
    body = known(chosen.digest) if known else None
    if body is not None:
        document = Document(chosen.media_type, chosen.digest, body)
    else:
        document = _manifest(endpoint, path, chosen.digest)
    if len(document.body) != chosen.size_bytes:
        raise InvalidArgument(
            f"manifest {chosen.digest} has {len(document.body)} bytes where its index says {chosen.size_bytes}"
        )
    if document.media_type != chosen.media_type:
        raise InvalidArgument(
            f"manifest {chosen.digest} came as {document.media_type!r} where its index says {chosen.media_type!r}"
        )
    return document


def _manifest(endpoint: Endpoint, path: str, name: str) -> Document:
    wanted = name if ":" in name else ""
    if wanted:
        check_digest(wanted)
    answer = endpoint.ask(_request("GET", path, name))
    body = answer.body(MANIFEST_LIMIT_BYTES, f"manifest {name}")
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if wanted and digest != wanted:
        raise InvalidArgument(f"manifest verification failed for digest {wanted}: what came has digest {digest}")
    _check_announced(answer, body, name)
    return Document(_media_type(answer.headers, body, name), digest, body)


def _request(method: str, path: str, name: str) -> Request:
    scopes = frozenset((f"repository:{path}:pull",))
    return Request(method, f"/v2/{path}/manifests/{name}", {"Accept": _ACCEPTED}, scopes=scopes)


def _check_announced(answer: Answer, body: bytes, name: str) -> None:
    """Against Docker-Content-Digest, which may be of another algorithm."""
    algorithm, _, encoded = answer.headers.get("Docker-Content-Digest", "").partition(":")
    if algorithm in ("sha256", "sha384", "sha512"):
        computed = hashlib.new(algorithm, body).hexdigest()
        if computed != encoded:
            raise InvalidArgument(f"manifest {name} has digest {algorithm}:{computed} where the registry announces "
                                  f"{algorithm}:{encoded[:128]}")  # fmt: skip


def _media_type(headers: Mapping[str, str], body: bytes, name: str) -> str:
    """Of the header, or of the document where the header says nothing. Raises NotSupported for what is no image."""
    announced = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if announced in _SAYS_NOTHING:
        document = parse_object(body, f"manifest {name}")
        announced = str(document.get("mediaType") or "")
        if document.get("schemaVersion") == 1:
            announced = min(_SCHEMA_1)
    if announced in _SCHEMA_1:
        raise NotSupported(
            f"manifest {name} has schema version 1, which is not supported: it can't be verified layer by layer, and "
            "registries have given it up; push the image again with a current client"
        )
    if announced not in MANIFEST_TYPES | INDEX_TYPES:
        raise NotSupported(f"manifest {name} has the unsupported media type {announced[:100]!r}: it is no image")
    return announced
