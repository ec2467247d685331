"""Credentials: who gets them, who must not, and token servers that answer rubbish."""

from __future__ import annotations

import base64
import ipaddress
import json
import socket
import time
from typing import Any, Callable, Iterator

import pytest

from engine.domain.errors import EngineError, Forbidden, InvalidArgument, NotSupported, Unauthorized
from engine.images.content import ContentStore
from engine.images.manifests import Descriptor
from engine.images.references import Reference
from engine.images.registry.challenges import Challenge, parse_challenges
from engine.images.registry.client import Registries, Repository
from engine.images.registry.credentials import Credentials
from engine.images.registry.settings import RegistrySettings
from support.scripted_registry import LAYER, Exchange, ScriptedRegistry, digest_of
from support.token_server import TokenServer

Make = Callable[..., Repository]
KNOWN = Credentials("someone", "secret")
BASIC = "Basic " + base64.b64encode(b"someone:secret").decode()


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", []),
        ("Basic", [("basic", {})]),
        ('Basic realm="a, b=\\"c\\""', [("basic", {"realm": 'a, b="c"'})]),
        (
            'Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push"',
            [("bearer", {
                "realm": "https://auth.example/token", "service": "registry", "scope": "repository:a/b:pull,push"
            })],
        ),
        ('Bearer realm=plain , Basic realm="x"', [("bearer", {"realm": "plain"}), ("basic", {"realm": "x"})]),
        ('Negotiate YII=, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        (', ,BEARER Realm="x",, error="invalid_token"', [("bearer", {"realm": "x", "error": "invalid_token"})]),
    ],
)  # fmt: skip
def test_challenges(header: str, challenges: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges(header) == [Challenge(*challenge) for challenge in challenges]


@pytest.mark.parametrize("header", ['"', "Basic " * 4000, 'Bearer realm="open', "=,=", "Basic\x00"])
def test_challenges_that_are_none(header: str) -> None:
    with pytest.raises(InvalidArgument, match="challenge"):
        parse_challenges(header)


# --- tokens ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tokens(registry: ScriptedRegistry) -> Iterator[TokenServer]:
    """The token server of the scripted registry, which from then on wants tokens that are good for the scope."""
    with TokenServer({"someone": "secret"}) as server:
        guard(registry, server)
        yield server


def guard(registry: ScriptedRegistry, server: TokenServer) -> None:
    def check(exchange: Exchange) -> None:
        scheme, _, token = exchange.headers.get("Authorization", "").partition(" ")
        path = exchange.asked.path.split("/")
        scopes = server.given.get(token, [])
        name = "/".join(path[2:4])
        need = "pull" if exchange.command in ("GET", "HEAD") else "push"
        if scheme == "Bearer" and any(name == scope.split(":")[1] and need in scope for scope in scopes):
            registry.answer(exchange)
            return
        challenge = f'Bearer realm="{server.realm}",service="tests",scope="repository:{name}:{need}"'
        exchange.refuse(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=challenge)

    for method in ("GET", "HEAD", "PUT", "POST", "PATCH"):
        registry.on(method, "^/v2/.", check)


def test_a_token_is_asked_for_once(
    registry: ScriptedRegistry, tokens: TokenServer, repository: Make, store: ContentStore
) -> None:
    registry.add_image("team/app", "1", [b"layer"])
    made = repository(credentials=KNOWN)
    for blob in made.resolve().manifest.layers:
        made.fetch(blob, store)
    (wanted,) = tokens.wanted
    assert wanted.headers["Authorization"] == BASIC
    assert wanted.query["service"] == ["tests"] and wanted.query["account"] == ["someone"]
    assert wanted.scopes == ["repository:team/app:pull"]
    assert [asked.headers.get("Authorization", "")[:6] for asked in registry.asked] == ["", "Bearer", "Bearer"]


def test_anonymous_pulls_of_what_is_public(registry: ScriptedRegistry, tokens: TokenServer, repository: Make) -> None:
    registry.add_image("team/app", "1", [b"layer"])
    with pytest.raises(Unauthorized, match="pull access denied"):
        repository().resolve()
    tokens.public = ("team/app",)
    assert repository().resolve()
    assert "Authorization" not in tokens.wanted[-1].headers


def test_wrong_passwords(registry: ScriptedRegistry, tokens: TokenServer, repository: Make) -> None:
    with pytest.raises(Unauthorized, match="incorrect username or password"):
        repository(credentials=Credentials("someone", "wrong")).resolve()


def test_a_token_that_the_registry_no_longer_takes_is_renewed(
    registry: ScriptedRegistry, tokens: TokenServer, repository: Make, store: ContentStore
) -> None:
    registry.add_image("team/app", "1", [b"layer"])
    made = repository(credentials=KNOWN)
    (layer,) = made.resolve().manifest.layers
    tokens.given.clear()
    made.fetch(layer, store)
    assert len(tokens.wanted) == 2


def test_a_token_is_renewed_before_it_ends(
    registry: ScriptedRegistry, tokens: TokenServer, repository: Make, store: ContentStore
) -> None:
    registry.add_image("team/app", "1", [b"layer"])
    tokens.life_s = 0.1
    made = repository(credentials=KNOWN)
    (layer,) = made.resolve().manifest.layers
    time.sleep(0.1)
    made.fetch(layer, store)
    assert len(tokens.wanted) == 2
    assert len([asked for asked in registry.asked if "Authorization" not in asked.headers]) == 1


def test_pushing_and_mounting_ask_for_their_scopes(
    registry: ScriptedRegistry, tokens: TokenServer, repository: Make, store: ContentStore
) -> None:
    blob = store.add(b"layer")
    made = repository(credentials=KNOWN)
    descriptor = Descriptor(LAYER, blob.digest, blob.size_bytes, None, {})
    assert made.push_blob(descriptor, store, mount_from=["team/base"]).how == "uploaded"
    asked = {scope for wanted in tokens.wanted for scope in wanted.scopes}
    assert {"repository:team/app:pull,push", "repository:team/base:pull"} <= asked


def test_identity_tokens(registry: ScriptedRegistry, tokens: TokenServer, repository: Make) -> None:
    registry.add_image("team/app", "1", [b"layer"])
    assert repository(credentials=Credentials(identity_token="identity-of-someone")).resolve()
    (wanted,) = tokens.wanted
    assert wanted.method == "POST" and "Authorization" not in wanted.headers
    assert wanted.query["grant_type"] == ["refresh_token"]
    assert wanted.query["scope"] == ["repository:team/app:pull"]


def test_ready_tokens_are_used_as_they_are(registry: ScriptedRegistry, tokens: TokenServer, repository: Make) -> None:
    registry.add_image("team/app", "1", [b"layer"])
    tokens.given["ready"] = ["repository:team/app:pull"]
    assert repository(credentials=Credentials(registry_token="ready")).resolve()
    assert not tokens.wanted and len(registry.asked) == 1


def test_ready_tokens_that_are_none_are_not_repeated(registry: ScriptedRegistry, repository: Make) -> None:
    with pytest.raises(InvalidArgument, match="no token has") as caught:
        repository(credentials=Credentials(registry_token="secret\r\nX-Evil: 1")).resolve()
    assert "secret" not in str(caught.value) and not registry.asked


def test_login(registry: ScriptedRegistry, settings: RegistrySettings) -> None:
    def ping(exchange: Exchange) -> None:
        scheme, _, token = exchange.headers.get("Authorization", "").partition(" ")
        if token in server.given:
            exchange.reply_json(200, {})
        else:
            exchange.refuse(401, "UNAUTHORIZED", "no", WWW_Authenticate=f'Bearer realm="{server.realm}"')

    with TokenServer({"someone": "secret"}) as server:
        registry.on("GET", "^/v2/$", ping)
        assert Registries(settings).login(registry.address, KNOWN) == "identity-of-someone"
        assert server.wanted[-1].query["offline_token"] == ["true"]
        with pytest.raises(Unauthorized, match="incorrect username or password"):
            Registries(settings).login(registry.address, Credentials("someone", "wrong"))


def test_other_schemes_are_named(registry: ScriptedRegistry, repository: Make) -> None:
    registry.on("GET", "/v2/", lambda exchange: exchange.refuse(401, "U", "no", WWW_Authenticate="Negotiate"))
    with pytest.raises(NotSupported, match="authorization by negotiate"):
        repository(credentials=KNOWN).resolve()


@pytest.mark.parametrize("challenge", [{}, {"WWW_Authenticate": "Basic"}])
def test_a_registry_that_never_has_enough(registry: ScriptedRegistry, repository: Make, challenge: Any) -> None:
    registry.on("GET", "/v2/", lambda exchange: exchange.refuse(401, "UNAUTHORIZED", "more", **challenge))
    with pytest.raises(Unauthorized, match="unauthorized: more"):
        repository(credentials=KNOWN).resolve()
    assert len(registry.asked) <= 2


# --- rubbish -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"", "no valid JSON"),
        (b"<html>", "no valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "no JSON object"),
        (b"{}", "holds no token"),
        (b'{"token": 5}', "holds no token"),
        (b'{"token": ""}', "holds no token"),
        (b'{"token": "a\\r\\nX-Evil: 1"}', "characters that no token has"),
        (b'{"token": "a b"}', "characters that no token has"),
        (json.dumps({"token": "a" * 100_000}).encode(), "or too many"),
        (b'{"token": "' + b"a" * (2 << 20), "larger than the limit"),
    ],
)  # fmt: skip
def test_a_token_server_that_answers_rubbish(
    registry: ScriptedRegistry, tokens: TokenServer, repository: Make, body: bytes, match: str
) -> None:
    tokens.body = body
    with pytest.raises(InvalidArgument, match=match):
        repository(credentials=KNOWN).resolve()


@pytest.mark.parametrize("life", [0, -1, "soon", None, 1e300, True, []])
def test_lives_of_tokens_that_make_no_sense(
    registry: ScriptedRegistry, tokens: TokenServer, repository: Make, life: Any
) -> None:
    registry.add_image("team/app", "1", [b"layer"])
    tokens.life_s = life
    assert repository(credentials=KNOWN).resolve()


@pytest.mark.parametrize(
    ("realm", "match"),
    [
        ("", "invalid URL"),
        ("token", "invalid URL"),
        ("file:///etc/passwd", "invalid URL"),
        ("https://user:password@127.0.0.1/token", "credentials in it"),
        ("http://auth.invalid/token", "plain HTTP"),
        ("https://169.254.169.254/token", "is a link-local address"),
        ("http://[fe80::1]/token", "plain HTTP|link-local"),
        ("https://127.0.0.1:99999/", "invalid URL"),
    ],
)
def test_realms_that_get_no_secrets(registry: ScriptedRegistry, repository: Make, realm: str, match: str) -> None:
    challenge = f'Bearer realm="{realm}",service="tests"'
    registry.on("GET", "/v2/", lambda exchange: exchange.refuse(401, "U", "no", WWW_Authenticate=challenge))
    with pytest.raises((InvalidArgument, Forbidden), match=match) as caught:
        repository(credentials=KNOWN).resolve()
    assert "password" not in str(caught.value)


# --- elsewhere ---------------------------------------------------------------------------------------------------


def test_secrets_follow_to_no_other_host(
    registry: ScriptedRegistry, other: ScriptedRegistry, tokens: TokenServer, repository: Make, store: ContentStore
) -> None:
    """CVE-2020-15157: what the other host wants to see is not asked for, either."""
    digest = registry.add_blob(b"layer")
    blob = Descriptor(LAYER, digest, 5, None, {})
    other.add_blob(b"layer")

    def away(exchange: Exchange) -> None:
        exchange.reply(307, Location=f"{other.url}/v2/x/y/blobs/{digest}?signature=secret")

    registry.add_image("team/app", "1", [b"layer"])
    made = repository(credentials=KNOWN)
    made.resolve()
    registry.scripts.clear()
    registry.on("GET", "/blobs/", away)
    fetched = made.fetch(blob, store)
    assert registry.asked[-1].headers["Authorization"].startswith("Bearer")
    assert fetched.source == registry.url
    (asked,) = other.asked
    assert "Authorization" not in asked.headers
    store.remove(digest)
    other.on("GET", "/blobs/", lambda exchange: exchange.refuse(401, "U", "no", WWW_Authenticate="Basic"))
    with pytest.raises(EngineError):
        made.fetch(blob, store)
    assert all("Authorization" not in asked.headers for asked in other.asked)


def test_who_was_reached_by_a_redirect_names_no_realm(
    registry: ScriptedRegistry, other: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    blob = Descriptor(LAYER, digest_of(b"layer"), 5, None, {})
    with TokenServer({"someone": "secret"}) as evil:
        challenge = f'Bearer realm="{evil.realm}",service="tests"'
        other.on("GET", "/", lambda exchange: exchange.refuse(401, "U", "no", WWW_Authenticate=challenge))
        registry.on("GET", "/blobs/", lambda exchange: exchange.reply(307, Location=f"{other.url}/blob"))
        with pytest.raises(Unauthorized):
            repository(credentials=KNOWN).fetch(blob, store)
        assert other.asked and not evil.wanted


def test_uploads_elsewhere_get_no_secrets(
    registry: ScriptedRegistry, other: ScriptedRegistry, repository: Make, store: ContentStore
) -> None:
    def begin(exchange: Exchange) -> None:
        other.uploads["elsewhere"] = b""
        exchange.reply(202, Location=f"{other.url}/v2/x/y/blobs/uploads/elsewhere")

    registry.on("HEAD", "/v2/", lambda exchange: challenged(registry, exchange))
    registry.on("POST", "/uploads/", begin)
    blob = store.add(b"x" * 100_000)
    descriptor = Descriptor(LAYER, blob.digest, blob.size_bytes, None, {})
    repository(credentials=KNOWN).push_blob(descriptor, store)
    assert registry.requests("POST")[0].headers["Authorization"] == BASIC
    assert [asked.method for asked in other.asked] == ["PATCH", "PUT"]
    assert all("Authorization" not in asked.headers for asked in other.asked)


def challenged(registry: ScriptedRegistry, exchange: Exchange) -> None:
    if exchange.headers.get("Authorization") == BASIC:
        registry.answer(exchange)
    else:
        exchange.refuse(401, "UNAUTHORIZED", "no", WWW_Authenticate='Basic realm="tests"')


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest", "http://[::ffff:169.254.169.254]/", "http://[fe80::1]/"]
)
def test_redirects_to_link_local_addresses(registry: ScriptedRegistry, repository: Make, target: str) -> None:
    registry.on("GET", "/manifests/", lambda exchange: exchange.reply(302, Location=target))
    with pytest.raises(Forbidden, match="link-local|plain HTTP"):
        repository().resolve()


@pytest.mark.parametrize("named", [False, True])
def test_a_public_registry_leads_to_no_private_place(
    registry: ScriptedRegistry, repository: Make, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    """By address, and by a name that resolves to one."""
    from engine.images.registry import addresses, connections

    real = addresses.reach_of

    def pretending(address: str) -> addresses.Reach:
        return addresses.Reach.PUBLIC if address == "127.0.0.3" else real(address)

    monkeypatch.setattr(connections, "reach_of", pretending)
    host = "localhost" if named else "127.0.0.1"
    registry.add_image("team/app", "1", [b"layer"])
    with ScriptedRegistry("127.0.0.3") as public:
        target = f"http://{host}:{registry.port}/v2/team/app/manifests/1"
        public.on("GET", "/manifests/", lambda exchange: exchange.reply(302, Location=target))
        with pytest.raises(Forbidden, match="refused to be led to .*: .* is a loopback address"):
            repository(f"{public.address}/team/app:1").resolve()
    assert not registry.asked
    with ScriptedRegistry("127.0.0.4") as inside:
        inside.on("GET", "/manifests/", lambda exchange: exchange.reply(302, Location=target))
        assert repository(f"{inside.address}/team/app:1").resolve()


def test_the_outermost_of_a_registrys_addresses_counts(
    registry: ScriptedRegistry, repository: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may lead to a public place first and to one inside later."""
    from engine.images.registry import addresses, connections

    monkeypatch.setattr(connections, "reach_of", lambda _: addresses.Reach.PUBLIC)
    registry.add_image("team/app", "1", [b"layer"])

    def parting(exchange: Exchange) -> None:
        exchange.close_connection = True
        exchange.reply_json(200, {"tags": []}, Connection="close")

    registry.on("GET", "/tags/", parting)
    made = repository()
    made.tags()
    monkeypatch.setattr(connections, "reach_of", addresses.reach_of)
    made.resolve()
    registry.on("GET", "/manifests/", lambda exchange: exchange.reply(302, Location="http://127.0.0.5:1/"))
    with pytest.raises(Forbidden, match="127.0.0.5 is a loopback address"):
        made.resolve()


def test_a_name_that_was_of_loopback_when_it_mattered(
    settings: RegistrySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain HTTP is spoken where the name leads when the connection is made, not where it led when that was asked."""
    from engine.images.registry import addresses

    real, asked = socket.getaddrinfo, []

    def rebound(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "rebound.test":
            asked.append(host)
            host = "127.0.0.1" if len(asked) == 1 else "127.0.0.9"
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    monkeypatch.setattr(addresses, "LOOPBACK", (ipaddress.ip_network("127.0.0.1/32"),))
    with ScriptedRegistry("127.0.0.9") as registry:
        reference = Reference.parse(f"rebound.test:{registry.port}/team/app:1")
        with Registries(settings).repository(reference, KNOWN) as made:
            with pytest.raises(Forbidden, match="its name led to 127.0.0.9 this time"):
                made.resolve()
        assert not registry.asked


def test_redirects_have_an_end(registry: ScriptedRegistry, repository: Make) -> None:
    registry.on("GET", "/v2/", lambda exchange: exchange.reply(302, Location=exchange.asked.path))
    with pytest.raises(InvalidArgument, match="more than 10 redirects"):
        repository().resolve()
    registry.scripts.clear()
    registry.on("GET", "/v2/", lambda exchange: exchange.reply(302, Location="gopher://x/"))
    with pytest.raises(InvalidArgument, match="invalid URL"):
        repository().resolve()


# --- mirrors -----------------------------------------------------------------------------------------------------


def test_mirrors_come_first_and_see_no_credentials(
    registry: ScriptedRegistry, other: ScriptedRegistry, repository: Make, store: ContentStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from engine.images.registry import endpoint

    monkeypatch.setattr(endpoint, "HUB", registry.url)
    registry.on("GET", "/v2/", lambda exchange: challenged(registry, exchange))
    digest = other.add_image("library/app", "1", [b"layer"])
    made = repository("docker.io/library/app:1", KNOWN, mirrors=("http://127.0.0.1:1", other.url))
    resolved = made.resolve()
    assert (resolved.top.digest, resolved.source) == (digest, other.url)
    assert made.fetch(resolved.manifest.layers[0], store).source == other.url
    assert not registry.asked
    assert all("Authorization" not in asked.headers for asked in other.asked)


def test_what_a_mirror_can_not_give_comes_from_the_registry(
    registry: ScriptedRegistry, other: ScriptedRegistry, repository: Make, store: ContentStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from engine.images.registry import endpoint

    monkeypatch.setattr(endpoint, "HUB", registry.url)
    registry.add_image("library/app", "1", [b"layer"])
    made = repository("docker.io/library/app:1", mirrors=(other.url,))
    resolved = made.resolve()
    assert resolved.source == registry.url
    other.blobs[digest_of(b"layer")] = b"wrong"
    assert made.fetch(resolved.manifest.layers[0], store).source == registry.url
    with pytest.raises(EngineError, match="manifest for app:2 not found: manifest unknown"):
        repository("docker.io/library/app:2", mirrors=(other.url,)).resolve()
