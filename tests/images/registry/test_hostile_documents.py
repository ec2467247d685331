"""Documents of a registry with one thing wrong in them, whichever it is: an error of ours or an answer."""

from __future__ import annotations

import copy
import json
import random
from typing import Any, Callable, Iterator

import pytest

from engine.domain.errors import EngineError
from engine.images.content import ContentStore
from engine.images.manifests import Platform
from engine.images.registry.client import Registries, Repository
from engine.images.registry.settings import RegistrySettings
from support.scripted_registry import INDEX, MANIFEST, ScriptedRegistry

Make = Callable[..., Repository]
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1 << 70, 1.5, 1e300, float("inf"), float("nan"), "", "x", "\0", "../" * 9, "é" * 300,
    "sha256:" + "g" * 64, "sha256:" + "A" * 64, "sha256:../../../etc/passwd", "md5:" + "a" * 32, [], [None], [[]], {},
    {"": None}, {"os": 1}, "a" * 100_000,
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a document, its own first."""
    yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, (*at, key))


def changed(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    copied = copy.deepcopy(document)
    holder = copied
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = value
    return copied


def variants(document: Any, most: int) -> list[bytes]:
    """With one value replaced by an odd one, or one byte of the text by another."""
    random.seed(7)
    whole = [json.dumps(changed(document, at, odd)).encode() for at in places(document) for odd in ODD]
    text = json.dumps(document).encode()
    bytewise = []
    for _ in range(most // 4):
        at = random.randrange(len(text))
        bytewise.append(text[:at] + bytes([random.randrange(256)]) + text[at + 1 :])
    return random.sample(whole, min(most, len(whole))) + bytewise


def survives(ask: Callable[[], Any]) -> None:
    try:
        ask()
    except EngineError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000, str(error)[:300]


@pytest.mark.parametrize("kind", [MANIFEST, INDEX])
def test_manifests_and_indexes(registry: ScriptedRegistry, repository: Make, kind: str) -> None:
    manifest = registry.manifest([b"layer"])
    manifest["annotations"] = {"a": "b"}
    digest = registry.add_manifest("team/app", "image", manifest)
    body = registry.manifests["team/app/image"][1]
    entry = {"mediaType": MANIFEST, "digest": digest, "size": len(body), "annotations": {"a": "b"}}
    platforms = ({"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm", "variant": "v7"})
    entries = [{**entry, "platform": platform} for platform in platforms]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    made = repository()
    for text in variants(manifest if kind == MANIFEST else index, 250):
        registry.add_manifest("team/app", "1", text, kind)
        survives(lambda: made.resolve(Platform("linux", "amd64")))


def test_tags_and_searches(registry: ScriptedRegistry, repository: Make, settings: RegistrySettings) -> None:
    made, current = repository(), [b""]
    registries = Registries(settings._replace(search_index=registry.url))
    registry.on("GET", "/tags/|/search", lambda exchange: exchange.reply(200, current[0]))
    for text in variants({"name": "team/app", "tags": ["a", "b"]}, 60):
        current[0] = text
        survives(made.tags)
    result = {"name": "a", "description": "b", "star_count": 1, "is_official": True, "is_automated": False}
    for text in variants({"num_results": 1, "results": [result]}, 60):
        current[0] = text
        survives(lambda: registries.search("a"))


HEADERS = {
    "Content-Length": ("-1", "x", "9" * 40, "5, 5", "0x10", "5.0"),
    "Content-Range": ("bytes 0-4/5", "bytes */5", "bytes 0-" + "9" * 30 + "/5", "\x00"),
    "Content-Type": ("", "x" * 10_000, "application/json;" * 100, "é"),
    "Docker-Content-Digest": ("sha256:", "sha256:" + "0" * 64, ":", "sha512:x", "x" * 10_000),
    "WWW-Authenticate": ("", "Bearer", 'Bearer realm=""', "Basic " * 500, 'Bearer realm="http://[::1"', "=" * 100),
    "Location": ("", "//", "http://", "http://[", "https://x:99999999/", "/" * 20_000, "\\\\evil", "http://a b/"),
    "Link": ('<>; rel="next"', "<http://[>; rel=next", "<" * 1000, '</x>; rel="next", </y>; rel="next"'),
    "Retry-After": ("-5", "x", "9" * 400, "Mon, 99 Foo 2020", "nan", "inf"),
    "Transfer-Encoding": ("chunked", "gzip", "x"),
    "Content-Encoding": ("gzip", "br", "x"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(
    registry: ScriptedRegistry, settings: RegistrySettings, store: ContentStore, repository: Make, name: str
) -> None:
    """With every status that gives them a meaning."""
    quick = settings.patience._replace(attempts=1, stall_timeout_s=0.2)
    registry.add_image("team/app", "1", [b"layer"])
    resolved = repository().resolve()
    (layer,) = resolved.manifest.layers
    said = [200, ""]
    for method in ("GET", "HEAD", "POST", "PUT"):
        registry.on(method, "/v2/", lambda exchange: answer(exchange, int(said[0]), name, str(said[1])))
    for said[1] in HEADERS[name]:
        for said[0] in (200, 202, 206, 302, 401, 416, 429):
            with_name = repository(patience=quick)
            survives(with_name.resolve)
            survives(with_name.tags)
            survives(lambda: with_name.fetch(layer, store))
            survives(lambda: with_name.put_manifest(resolved.document))
    with store.partial(layer.digest):
        assert not store.has(layer.digest) or store.read(layer.digest) == b"layer"


def answer(exchange: Any, status: int, name: str, value: str) -> None:
    exchange.close_connection = True
    usual = {} if name in ("Content-Length", "Transfer-Encoding") else {"Content-Length": "5"}
    exchange.send_response(status)
    for key, text in {**usual, "Connection": "close"}.items():
        exchange.send_header(key, text)
    exchange.flush_headers()
    exchange.wfile.write(f"{name}: {value}\r\n\r\n".encode("latin-1", "replace"))
    exchange.write(b"layer")
