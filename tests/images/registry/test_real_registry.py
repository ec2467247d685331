"""Against Debian's docker-registry: plain, with passwords, with tokens, with TLS, and with skopeo as the other side."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from engine.domain.errors import Forbidden, NotFound, Unauthorized, Unavailable
from engine.images.content import ContentStore
from engine.images.manifests import OCI_CONFIG, OCI_LAYER, Descriptor, make_manifest
from engine.images.references import Reference
from engine.images.registry.client import Registries, Repository
from engine.images.registry.credentials import Credentials
from engine.images.registry.settings import RegistrySettings
from engine.images.registry.transfers import Document
from support.docker_registry import (
    PASSWORD,
    RSA,
    USER,
    DockerRegistry,
    make_authority,
    make_certificate,
    skopeo,
)
from support.scripted_registry import MANIFEST, digest_of
from support.token_server import ISSUER, TokenServer
from test_fetch import noise

pytestmark = pytest.mark.requires("docker registry")

LAYERS = (noise(3 << 20, b"first"), b"small", b"")
CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
KNOWN = Credentials(USER, PASSWORD)
Open = Callable[..., Repository]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry(tmp_path_factory.mktemp("plain")) as registry:
        yield registry


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with DockerRegistry.with_password(tmp_path_factory.mktemp("guarded")) as registry:
        yield registry


@pytest.fixture
def open_(settings: RegistrySettings) -> Iterator[Open]:
    made: list[Repository] = []

    def opened(text: str, credentials: Credentials = Credentials(), **changes: Any) -> Repository:
        found = Registries(settings._replace(**changes)).repository(Reference.parse(text), credentials)
        made.append(found)
        return found

    yield opened
    for each in made:
        each.close()


def blobs(store: ContentStore, layers: tuple[bytes, ...] = LAYERS) -> list[Descriptor]:
    """Configuration and layers of an image, which the store has from then on."""
    kinds = [(OCI_CONFIG, CONFIG), *((OCI_LAYER, layer) for layer in layers)]
    return [Descriptor(kind, store.add(body).digest, len(body), None, {}) for kind, body in kinds]


def push(repository: Repository, store: ContentStore, layers: tuple[bytes, ...] = LAYERS) -> tuple[str, list[str]]:
    """The manifest's digest, and how each blob came to be there."""
    config, *rest = blobs(store, layers)
    how = [repository.push_blob(blob, store).how for blob in (config, *rest)]
    body = make_manifest((config.digest, config.size_bytes), [(one.media_type, *one[1:3]) for one in rest])
    return repository.put_manifest(Document(MANIFEST, digest_of(body), body)), how


def pull(repository: Repository, store: ContentStore) -> str:
    resolved = repository.resolve()
    for blob in (resolved.manifest.config, *resolved.manifest.layers):
        repository.fetch(blob, store)
        assert store.size_bytes(blob.digest) == blob.size_bytes
    return resolved.top.digest


def test_what_was_pushed_comes_back(plain: DockerRegistry, open_: Open, tmp_path: Path) -> None:
    here, there = ContentStore(tmp_path / "here"), ContentStore(tmp_path / "there")
    digest, how = push(open_(f"{plain.address}/team/app:1"), here)
    assert how == ["uploaded"] * 4
    assert push(open_(f"{plain.address}/team/app:2"), here) == (digest, ["exists"] * 4)
    assert pull(open_(f"{plain.address}/team/app:1"), there) == digest
    assert pull(open_(f"{plain.address}/team/app@{digest}"), there) == digest
    assert open_(f"{plain.address}/team/app").tags() == ["1", "2"]
    assert sorted(here.digests()) == sorted(there.digests())


def test_layers_are_mounted_from_other_repositories(plain: DockerRegistry, open_: Open, store: ContentStore) -> None:
    layer = noise(100_000, b"to be mounted")
    push(open_(f"{plain.address}/base:1"), store, (layer,))
    blob = blobs(store, (layer,))[1]
    pushed = open_(f"{plain.address}/derived:1").push_blob(blob, store, mount_from=("nowhere", "base"))
    assert (pushed.how, pushed.mounted_from) == ("mounted", "base")
    assert open_(f"{plain.address}/third:1").push_blob(blob, store, mount_from=("nowhere",)).how == "uploaded"


def test_names_that_are_not_there(plain: DockerRegistry, open_: Open, store: ContentStore) -> None:
    with pytest.raises(NotFound, match=r"manifest for .*/nobody:latest not found: manifest unknown"):
        open_(f"{plain.address}/nobody").resolve()
    with pytest.raises(NotFound, match="repository does not exist"):
        open_(f"{plain.address}/nobody").tags()


class Cutter:
    """A TCP proxy that cuts its first connection after so many bytes from the client."""

    def __init__(self, port: int, after: int) -> None:
        self._target = port
        self._left: int | None = after
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pass, args=(client, upstream, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(upstream, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        try:
            while data := source.recv(65536):
                if counts and self._left is not None:
                    self._left -= len(data)
                    if self._left < 0:
                        self._left = None
                        break
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
            if counts and data:
                source.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        self._server.close()


def test_an_upload_that_is_cut_is_gone_on_from(plain: DockerRegistry, open_: Open, store: ContentStore) -> None:
    cutter = Cutter(plain.port, 4 << 20)
    layer = noise(9 << 20, b"to be cut")
    blob = blobs(store, (layer,))[1]
    told = []
    pushed = open_(f"127.0.0.1:{cutter.port}/cut:1").push_blob(blob, store, told.append)
    cutter.close()
    assert pushed.how == "uploaded"
    assert any(progress.action == "retrying" for progress in told)
    assert open_(f"{plain.address}/cut:1").push_blob(blob, store).how == "exists"


# --- who may -----------------------------------------------------------------------------------------------------


def test_passwords(guarded: DockerRegistry, open_: Open, store: ContentStore, settings: RegistrySettings) -> None:
    name = f"{guarded.address}/team/app:1"
    digest, _ = push(open_(name, KNOWN), store)
    assert pull(open_(name, KNOWN), store) == digest
    with pytest.raises(Unauthorized, match="pull access denied for .*/team/app, .*no basic auth credentials"):
        open_(name).resolve()
    with pytest.raises(Unauthorized, match="pull access denied for .*authentication required"):
        open_(name, Credentials(USER, "wrong")).resolve()
    with pytest.raises(Unauthorized):
        open_(name, Credentials(USER, "wrong")).put_manifest(Document(MANIFEST, digest_of(b"{}"), b"{}"))
    registries = Registries(settings)
    assert registries.login(guarded.address, KNOWN) == ""
    assert registries.login(f"https://{guarded.address}/v1/", KNOWN) == ""
    with pytest.raises(Unauthorized, match="401 Unauthorized"):
        registries.login(guarded.address, Credentials(USER, "wrong"))


@pytest.mark.requires("openssl")
def test_tokens(tmp_path: Path, open_: Open, store: ContentStore, settings: RegistrySettings) -> None:
    authority = make_authority(tmp_path / "ca")
    certificate, key = make_certificate(authority, "signer", kind=RSA)
    with TokenServer({USER: PASSWORD}, public=("public/app",)) as tokens:
        tokens.key, tokens.certificate = key, certificate
        auth = {
            "realm": tokens.realm, "service": "the registry", "issuer": ISSUER, "rootcertbundle": str(authority)
        }  # fmt: skip
        with DockerRegistry(tmp_path / "registry", {"token": auth}) as registry:
            for name in ("public/app", "team/app"):
                push(open_(f"{registry.address}/{name}:1", KNOWN), store)
            assert pull(open_(f"{registry.address}/public/app:1"), store)
            assert pull(open_(f"{registry.address}/team/app:1", KNOWN), store)
            with pytest.raises((Unauthorized, Forbidden), match="pull access denied"):
                open_(f"{registry.address}/team/app:1").resolve()
            with pytest.raises((Unauthorized, Forbidden)):
                push(open_(f"{registry.address}/public/app:2"), store)
            identity = Registries(settings).login(registry.address, KNOWN)
            assert identity == f"identity-of-{USER}"
            assert pull(open_(f"{registry.address}/team/app:1", Credentials(identity_token=identity)), store)
            assert tokens.wanted[-1].method == "POST"


@pytest.mark.requires("openssl")
def test_tls_with_an_authority_of_its_own(tmp_path: Path, open_: Open, store: ContentStore) -> None:
    """And with certificates of clients, which the registry demands."""
    authority = make_authority(tmp_path / "ca")
    certificate, key = make_certificate(authority, "server")
    tls = {"certificate": str(certificate), "key": str(key), "clientcas": [str(authority)]}
    with DockerRegistry(tmp_path / "registry", tls=tls) as registry:
        folder = tmp_path / "certs.d" / registry.address
        folder.mkdir(parents=True)
        shutil.copy(authority, folder / "ca.crt")
        with pytest.raises(Unavailable, match="bad certificate|certificate required"):
            open_(f"{registry.address}/app:1").tags()
        for path in make_certificate(authority, "client"):
            shutil.copy(path, folder)
        assert push(open_(f"{registry.address}/app:1"), store)
        repository = open_(f"{registry.address}/app:1")
        assert repository.resolve().source == f"https://{registry.address}"
        shutil.copy(make_authority(tmp_path / "other"), folder / "ca.crt")
        with pytest.raises(Unavailable, match="tls: .*certificate"):
            open_(f"{registry.address}/app:1").resolve()


# --- skopeo on the other side ------------------------------------------------------------------------------------


@pytest.mark.requires("skopeo")
def test_digests_are_the_same_for_skopeo(plain: DockerRegistry, open_: Open, tmp_path: Path) -> None:
    """Pushed here, copied by skopeo, pulled here: the same bytes everywhere."""
    here, there = ContentStore(tmp_path / "here"), ContentStore(tmp_path / "there")
    digest, _ = push(open_(f"{plain.address}/team/app:1"), here)
    source, target = f"docker://{plain.address}/team/app:1", f"docker://{plain.address}/copied/app:2"
    assert json.loads(skopeo("inspect", "--tls-verify=false", "--no-tags", source))["Digest"] == digest
    skopeo("copy", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false", source, target)
    assert pull(open_(f"{plain.address}/copied/app:2"), there) == digest
    assert sorted(here.digests()) == sorted(there.digests())
