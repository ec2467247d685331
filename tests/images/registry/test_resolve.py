"""From names to manifests: digests, indexes, platforms, and what is refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Callable

import pytest

from engine.domain.errors import InvalidArgument, NotFound, NotSupported, Unavailable
from engine.images.manifests import Platform
from engine.images.platforms import normalized, runs, this_machine
from engine.images.registry.client import Repository
from support.scripted_registry import INDEX, MANIFEST, Exchange, ScriptedRegistry, digest_of

Make = Callable[..., Repository]
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def entry(registry: ScriptedRegistry, path: str, layer: bytes, platform: str, **changes: Any) -> dict[str, Any]:
    """An image for a platform, as a descriptor of it."""
    document = json.dumps(registry.manifest([layer])).encode()
    os, architecture, *variant = platform.split("/")
    digest = registry.add_manifest(path, digest_of(document), document)
    says = {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
    return {"mediaType": MANIFEST, "digest": digest, "size": len(document), "platform": says, **changes}


def index(registry: ScriptedRegistry, path: str, name: str, entries: list[dict[str, Any]], kind: str = INDEX) -> str:
    document = {"schemaVersion": 2, "mediaType": kind, "manifests": entries}
    return registry.add_manifest(path, name, document, kind)


def test_by_tag_and_by_digest(registry: ScriptedRegistry, repository: Make) -> None:
    digest = registry.add_image("team/app", "1", [b"layer"])
    for name in ("team/app:1", f"team/app@{digest}", f"team/app:other@{digest}"):
        resolved = repository(name).resolve()
        assert resolved.top == resolved.document and resolved.index is None and resolved.platform is None
        assert (resolved.top.digest, resolved.top.media_type) == (digest, MANIFEST)
        assert resolved.source == registry.url
        assert [layer.digest for layer in resolved.manifest.layers] == [digest_of(b"layer")]


def test_one_exchange_is_enough_once_the_scheme_is_known(registry: ScriptedRegistry, repository: Make) -> None:
    registry.add_image("team/app", "1", [b"layer"])
    repository().resolve()
    assert [(asked.method, asked.path) for asked in registry.asked] == [("GET", "/v2/team/app/manifests/1")]


@pytest.mark.parametrize("kind", [INDEX, DOCKER_LIST])
def test_an_index_leads_to_the_platform(registry: ScriptedRegistry, repository: Make, kind: str) -> None:
    platforms = ("linux/s390x", "linux/amd64", "linux/arm/v6")
    entries = [entry(registry, "team/app", name.encode(), name) for name in platforms]
    digest = index(registry, "team/app", "1", entries, kind)
    resolved = repository().resolve(Platform("linux", "s390x"))
    assert (resolved.top.digest, resolved.document.digest) == (digest, entries[0]["digest"])
    assert resolved.index == resolved.top and resolved.platform == Platform("linux", "s390x")
    assert resolved.manifest.layers[0].digest == digest_of(b"linux/s390x")
    assert repository().resolve(Platform("linux", "arm", "v7")).document.digest == entries[2]["digest"]


def test_an_index_in_an_index_is_followed_and_no_further(registry: ScriptedRegistry, repository: Make) -> None:
    platform = Platform("linux", "amd64")
    image = entry(registry, "team/app", b"layer", "linux/amd64")
    inner = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image]}).encode()
    inside = {**image, "mediaType": INDEX, "digest": registry.add_manifest("team/app", "2", inner, INDEX)}
    inside["size"] = len(inner)
    middle = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [inside]}).encode()
    registry.add_manifest("team/app", "1", middle, INDEX)
    resolved = repository().resolve(platform)
    assert (resolved.top.digest, resolved.document.digest) == (digest_of(middle), image["digest"])
    outside = {**inside, "digest": digest_of(middle), "size": len(middle)}
    index(registry, "team/app", "3", [outside])
    with pytest.raises(NotSupported, match="nested too deeply"):
        repository("team/app:3").resolve(platform)


def test_a_platform_that_is_not_there(registry: ScriptedRegistry, repository: Make) -> None:
    index(registry, "team/app", "1", [entry(registry, "team/app", b"x", "linux/s390x")])
    with pytest.raises(NotFound, match=r"no matching manifest for linux/arm64 in .*: there are linux/s390x"):
        repository().resolve(Platform("linux", "arm64"))


@pytest.mark.parametrize(
    ("wanted", "offered", "better"),
    [
        ("linux/arm/v7", "linux/arm/v6", "linux/arm/v7"),
        ("linux/arm/v7", "linux/arm/v5", "linux/arm/v6"),
        ("linux/arm64", "", "linux/arm64/v8"),
        ("linux/arm64/v8", "", "linux/arm64"),
        ("linux/amd64", "", "linux/amd64/v1"),
        ("linux/amd64/v3", "linux/amd64", "linux/amd64/v2"),
        ("linux/x86_64", "", "linux/amd64"),
        ("linux/armhf", "linux/arm/v6", "linux/arm/v7"),
        ("linux/arm64", "", "linux/aarch64"),
    ],
)
def test_variants(wanted: str, offered: str, better: str) -> None:
    ranks = [runs(Platform.parse(wanted), Platform.parse(text)) if text else 0 for text in (offered, better)]
    assert 0 <= ranks[0] < ranks[1]


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        ("linux/arm/v6", "linux/arm/v7"),
        ("linux/amd64", "linux/amd64/v2"),
        ("linux/amd64", "linux/386"),
        ("linux/amd64", "windows/amd64"),
        ("linux/arm64", "linux/arm/v7"),
        ("linux/amd64", "unknown/unknown"),
    ],
)
def test_what_does_not_run(wanted: str, offered: str) -> None:
    assert runs(Platform.parse(wanted), Platform.parse(offered)) == 0


def test_this_machine_runs_its_own_images() -> None:
    assert this_machine().os == "linux"
    assert runs(this_machine(), normalized(this_machine())) > 0


# --- refused -----------------------------------------------------------------------------------------------------


def refused(make: Make, error: type[Exception], match: str, name: str = "team/app:1") -> None:
    with pytest.raises(error, match=match):
        make(name).resolve(Platform("linux", "amd64"))


def test_an_unknown_name(registry: ScriptedRegistry, repository: Make) -> None:
    refused(repository, NotFound, rf"manifest for {registry.address}/team/app:1 not found: manifest unknown")


def test_an_unknown_repository(registry: ScriptedRegistry, repository: Make) -> None:
    registry.on("GET", "/manifests/", lambda exchange: exchange.refuse(404, "NAME_UNKNOWN", "repository unknown"))
    refused(repository, NotFound, r"pull access denied for .*/team/app, repository does not exist or may require")


def test_content_that_is_not_what_was_asked_for(registry: ScriptedRegistry, repository: Make) -> None:
    registry.add_image("team/app", "1", [b"layer"])
    wanted = digest_of(b"something else")
    registry.manifests[f"team/app/{wanted}"] = registry.manifests["team/app/1"]
    refused(repository, InvalidArgument, f"verification failed for digest {wanted}", f"team/app@{wanted}")


def test_content_that_is_not_what_was_announced(registry: ScriptedRegistry, repository: Make) -> None:
    registry.add_image("team/app", "1", [b"layer"])
    _, body = registry.manifests["team/app/1"]
    for algorithm in ("sha256", "sha512"):
        announced = f"{algorithm}:{hashlib.new(algorithm, b'x').hexdigest()}"
        registry.on(
            "GET", "/manifests/",
            lambda exchange, said=announced: exchange.reply(
                200, body, Content_Type=MANIFEST, Docker_Content_Digest=said
            ),
            times=1,
        )  # fmt: skip
        refused(repository, InvalidArgument, "where the registry announces")


def test_digests_of_other_algorithms(registry: ScriptedRegistry, repository: Make) -> None:
    refused(repository, InvalidArgument, "unsupported digest", f"team/app@sha512:{'a' * 128}")
    document = registry.manifest([b"layer"])
    document["layers"][0]["digest"] = f"sha512:{hashlib.sha512(b'layer').hexdigest()}"
    registry.add_manifest("team/app", "1", document)
    refused(repository, InvalidArgument, "unsupported digest 'sha512")


def test_schema_1(registry: ScriptedRegistry, repository: Make) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    registry.add_manifest("team/app", "1", {"schemaVersion": 1, "fsLayers": []}, kind)
    refused(repository, NotSupported, "schema version 1, which is not supported: .* push the image again")
    registry.add_manifest("team/app", "1", {"schemaVersion": 1, "fsLayers": []}, "application/json")
    refused(repository, NotSupported, "schema version 1")
    registry.add_manifest("team/app", "1", {"schemaVersion": 1, "fsLayers": []}, MANIFEST)
    refused(repository, NotSupported, "schema version 1")


@pytest.mark.parametrize("kind", ["application/vnd.cncf.helm.config.v1+json", "text/html", "application/json"])
def test_media_types_that_are_no_manifest(registry: ScriptedRegistry, repository: Make, kind: str) -> None:
    registry.add_manifest("team/app", "1", {"schemaVersion": 2}, kind)
    refused(repository, NotSupported, "unsupported media type .*: it is no image")


def test_a_media_type_that_only_the_document_says(registry: ScriptedRegistry, repository: Make) -> None:
    registry.add_manifest("team/app", "1", registry.manifest([b"x"]), "application/json; charset=utf-8")
    assert repository().resolve().document.media_type == MANIFEST


def test_documents_that_are_two_things(registry: ScriptedRegistry, repository: Make) -> None:
    """CVE-2021-41190: read as a manifest here and as an index there."""
    registry.add_manifest("team/app", "1", {**registry.manifest([b"x"]), "manifests": []})
    refused(repository, InvalidArgument, "ambiguous")
    registry.add_manifest("team/app", "1", registry.manifest([b"x"]), INDEX)
    refused(repository, InvalidArgument, "ambiguous|calls itself")


def test_artifacts_and_foreign_layers(registry: ScriptedRegistry, repository: Make) -> None:
    chart = registry.manifest([b"x"])
    chart["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    registry.add_manifest("team/app", "1", chart)
    refused(repository, NotSupported, "no image: its config has the media type 'application/vnd.cncf.helm")
    foreign = registry.manifest([b"x"])
    foreign["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    foreign["layers"][0]["urls"] = ["http://169.254.169.254/latest/meta-data"]
    registry.add_manifest("team/app", "1", foreign)
    refused(repository, NotSupported, f"layer {digest_of(b'x')} has the unsupported media type .*foreign")


def test_an_index_that_lies_about_size_or_type(registry: ScriptedRegistry, repository: Make) -> None:
    index(registry, "team/app", "1", [entry(registry, "team/app", b"x", "linux/amd64", size=7)])
    refused(repository, InvalidArgument, r"has \d+ bytes where its index says 7")
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    index(registry, "team/app", "1", [entry(registry, "team/app", b"x", "linux/amd64", mediaType=kind)])
    refused(repository, InvalidArgument, "came as .* where its index says")
    index(registry, "team/app", "1", [entry(registry, "team/app", b"x", "linux/amd64", size=5 << 20)])
    refused(repository, InvalidArgument, "larger than the limit")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b'{"schemaVersion": 3}', b'"text"', b"[" * 200_000])
def test_rubbish(registry: ScriptedRegistry, repository: Make, body: bytes) -> None:
    registry.add_manifest("team/app", "1", body)
    refused(repository, (InvalidArgument, NotSupported), "the manifest")  # type: ignore[arg-type]


def test_a_manifest_of_500_mb_is_refused_unread(registry: ScriptedRegistry, repository: Make) -> None:
    def announced(exchange: Exchange) -> None:
        exchange.start(200, Content_Type=MANIFEST, Content_Length=str(500 << 20))
        sent = 0
        while sent < 500 << 20 and exchange.write(bytes(1 << 20)):
            sent += 1 << 20
        written.append(sent)

    def endless(exchange: Exchange) -> None:
        exchange.start(200, Content_Type=MANIFEST, Connection="close")
        exchange.close_connection = True
        sent = 0
        while sent < 500 << 20 and exchange.write(bytes(1 << 20)):
            sent += 1 << 20
        written.append(sent)

    written: list[int] = []
    for action in (announced, endless):
        registry.scripts.clear()
        registry.on("GET", "/manifests/", action)
        refused(repository, InvalidArgument, "larger than the limit of 4194304 bytes")
    assert all(sent < 64 << 20 for sent in written)


def test_an_error_page_is_no_terminal_input(registry: ScriptedRegistry, repository: Make) -> None:
    registry.on("GET", "/manifests/", lambda exchange: exchange.refuse(400, "BAD", "a\x1b[2J\nb" + "c" * 10_000))
    with pytest.raises(InvalidArgument) as caught:
        repository().resolve()
    assert str(caught.value).startswith("bad: a [2J bccc")
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()


def test_nobody_listens(repository: Make) -> None:
    refused(repository, Unavailable, r'Get "https?://127.0.0.1:1/v2/.*connection refused', "127.0.0.1:1/app:1")
