"""The grammar of references: what is accepted, what it means, and what is said about the rest."""

from __future__ import annotations

import pytest

from engine.domain.errors import InvalidArgument
from engine.images.references import Reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"

ACCEPTED = [
    ("base", "docker.io/library/base:latest", "base:latest"),
    ("base:1.2", "docker.io/library/base:1.2", "base:1.2"),
    ("library/base", "docker.io/library/base:latest", "base:latest"),
    ("docker.io/base", "docker.io/library/base:latest", "base:latest"),
    ("index.docker.io/library/base", "docker.io/library/base:latest", "base:latest"),
    ("docker.io/library/base:latest", "docker.io/library/base:latest", "base:latest"),
    ("team/app", "docker.io/team/app:latest", "team/app:latest"),
    ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
    ("a/b/c/d", "docker.io/a/b/c/d:latest", "a/b/c/d:latest"),
    ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
    ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
    ("host:5000/team/app:1", "host:5000/team/app:1", "host:5000/team/app:1"),
    ("ghcr.io/org/app:1", "ghcr.io/org/app:1", "ghcr.io/org/app:1"),
    ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest", "127.0.0.1:5000/app:latest"),
    ("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"),
    ("[fe80::1]/app", "[fe80::1]/app:latest", "[fe80::1]/app:latest"),
    ("Host/app", "Host/app:latest", "Host/app:latest"),
    ("EXAMPLE.com/app", "EXAMPLE.com/app:latest", "EXAMPLE.com/app:latest"),
    ("xn--n3h.com/app", "xn--n3h.com/app:latest", "xn--n3h.com/app:latest"),
    (f"base@{DIGEST}", f"docker.io/library/base@{DIGEST}", f"base@{DIGEST}"),
    (f"base:1@{DIGEST}", f"docker.io/library/base:1@{DIGEST}", f"base:1@{DIGEST}"),
    ("a.b", "docker.io/library/a.b:latest", "a.b:latest"),
    ("a_b", "docker.io/library/a_b:latest", "a_b:latest"),
    ("a__b", "docker.io/library/a__b:latest", "a__b:latest"),
    ("a---b", "docker.io/library/a---b:latest", "a---b:latest"),
    ("a:_x", "docker.io/library/a:_x", "a:_x"),
    ("a:" + "x" * 128, "docker.io/library/a:" + "x" * 128, "a:" + "x" * 128),
    ("a" * 63, f"docker.io/library/{'a' * 63}:latest", f"{'a' * 63}:latest"),
    (HEX[:63], f"docker.io/library/{HEX[:63]}:latest", f"{HEX[:63]}:latest"),
    (f"{HEX}:tag", f"docker.io/library/{HEX}:tag", f"{HEX}:tag"),
]


@pytest.mark.parametrize(("text", "normalized", "familiar"), ACCEPTED, ids=[text[:30] for text, _, _ in ACCEPTED])
def test_accepted(text: str, normalized: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert (reference.normalized, reference.familiar) == (normalized, familiar)
    assert Reference.parse(normalized).normalized == normalized
    assert Reference.parse(familiar).normalized == normalized, "what is shown can be typed"


REFUSED = [
    ("", "the name is empty"),
    (HEX, "cannot specify 64-byte hexadecimal strings"),
    ("Base", "repository name (library/Base) must be lowercase"),
    ("team/App", "repository name (team/App) must be lowercase"),
    ("a//b", "names are lower-case"),
    ("/a", "names are lower-case"),
    ("a/", "names are lower-case"),
    ("-a", "names are lower-case"),
    ("a-", "names are lower-case"),
    ("a.", "names are lower-case"),
    ("a..b", "names are lower-case"),
    ("a___b", "names are lower-case"),
    ("a/-b", "names are lower-case"),
    ("a b", "names are lower-case"),
    ("a\n", "names are lower-case"),
    ("ä", "names are lower-case"),
    ("../a", "is no host name"),
    (":tag", "names are lower-case"),
    ("a:", "is no tag"),
    ("a:-x", "is no tag"),
    ("a:b:c", "is no tag"),
    ("a:x/y", "is no host name"),
    ("a:" + "x" * 129, "is no tag"),
    ("a:tag\n", "is no tag"),
    ("host:port/app", "is no host name"),
    ("-host.com/app", "is no host name"),
    ("host..com/app", "is no host name"),
    ("[::g]/app", "is no host name"),
    ("a@", "is no digest"),
    ("a@sha256:" + "0" * 31, "is no digest"),
    ("a@" + DIGEST + "@" + DIGEST, "is no digest"),
    ("a@sha256:" + "0" * 63, "a sha256 digest has 64"),
    ("a@sha256:" + "A" * 64, "a sha256 digest has 64"),
    ("a@md5:" + "0" * 32, "unsupported digest algorithm 'md5'"),
    ("host.com/" + "a/" * 130 + "a", "must not be more than 255 characters"),
    ("a" * 100_000, "too long"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[repr(text[:30]) for text, _ in REFUSED])
def test_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        Reference.parse(text)
    assert message in str(refused.value)
    assert str(refused.value).startswith(("invalid reference format: ", "invalid repository name"))
    assert "\n" not in str(refused.value)


def test_parts() -> None:
    reference = Reference.parse(f"host:5000/team/app:1@{DIGEST}")
    assert (reference.domain, reference.path, reference.tag, reference.digest) == ("host:5000", "team/app", "1", DIGEST)
    assert reference.name == "host:5000/team/app" and str(reference) == reference.normalized
    assert Reference.parse("base").familiar_name == "base"
