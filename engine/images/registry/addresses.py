"""Where a registry is, and where it may send us.

A registry can make the engine connect to other places: by a redirect, by the address of an upload, by the realm of its
token server. So that nobody on the internet can reach through the engine into the host or its network, such a place may
lie no further inside than the registry itself: a public registry leads to public addresses only, one in a private
network there and out, one on this host anywhere but to link-local addresses (where clouds keep their secrets). What
counts is the address that the connection has, after names were resolved.
"""

from __future__ import annotations

import enum
import ipaddress
import socket
from typing import NamedTuple, Sequence
from urllib.parse import urljoin, urlsplit

from engine.domain.errors import Forbidden, InvalidArgument

_PORTS = {"http": 80, "https": 443}
_URL_LIMIT = 16 * 1024

Number = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class Reach(enum.IntEnum):
    """How far inside an address is."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    LINK_LOCAL = 3


def reach_of(address: str) -> Reach:
    """Of a numeric address. Raises ValueError for what is none."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    if parsed.is_loopback or parsed.is_unspecified:  # Linux connects 0.0.0.0 to this host
        return Reach.LOOPBACK
    if parsed.is_link_local:
        return Reach.LINK_LOCAL
    return Reach.PUBLIC if parsed.is_global else Reach.PRIVATE


class Place(NamedTuple):
    """Scheme, host and port of a URL: what credentials belong to (the origin of RFC 6454)."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Place:
        """Raises InvalidArgument for what is no URL that a registry may name."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InvalidArgument(f"invalid URL {shown(url)!r}: {error}") from error
        if len(url) > _URL_LIMIT or parts.scheme not in _PORTS or not parts.hostname:
            raise InvalidArgument(f"invalid URL {shown(url)!r}: http or https with a host is expected")
        if "@" in parts.netloc:
            raise InvalidArgument(f"invalid URL {shown(url)!r}: credentials in it are not accepted")
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])

    @property
    def address(self) -> str:
        """``host`` or ``host:port``, as it is written in references and in the configuration."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"


def shown(url: str) -> str:
    """For messages: without the query, in which signed URLs carry their secrets, and without user and password."""
    base = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = base.partition("://")
    authority, slash, path = rest.partition("/")
    return (scheme + separator + authority.rpartition("@")[2] + slash + path)[:300]


def target_of(location: str, asked: str) -> str:
    """The absolute URL of a Location header. Raises InvalidArgument."""
    try:
        target = urljoin(asked, location)
    except ValueError as error:
        raise InvalidArgument(f"invalid URL {shown(location)!r}: {error}") from error
    before, after = Place.of(asked), Place.of(target)
    if (before.scheme, after.scheme) == ("https", "http") and before.host == after.host:
        # behind a proxy that ends TLS, registries often take themselves for plain
        return "https" + target.removeprefix("http") if after.port in (80, before.port) else target
    return target


def insecure_networks(host: str, insecure: Sequence[str]) -> tuple[Network, ...]:
    """The networks in which plain HTTP and unverified TLS will do for a host: loopback's and those that the operator
    lists. () where the host does not lie in them; where it does, its connections must end there, too, since who answers
    for its name might answer something else the next time."""
    networks = (*LOOPBACK, *(ipaddress.ip_network(entry, strict=False) for entry in insecure if "/" in entry))
    numbers = _resolved(host)
    return networks if numbers and all(lies_in(number, networks) for number in numbers) else ()


def lies_in(number: Number, networks: Sequence[Network]) -> bool:
    """Whether a numeric address is one of the networks'."""
    return any(number in network for network in networks if number.version == network.version)


def _resolved(host: str) -> list[Number]:
    if host == "localhost":
        return [ipaddress.ip_address("127.0.0.1")]
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []  # perhaps a proxy knows it
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def check_reach(address: str, allowed: Reach, url: str) -> None:
    """Raises Forbidden where a numeric address lies further inside than ``allowed``."""
    try:
        reach = reach_of(address)
    except ValueError:
        return  # a name: what it resolves to is checked when the connection stands
    if reach > allowed:
        kind = reach.name.lower().replace("_", "-")
        raise Forbidden(f"refused to be led to {shown(url)}: {address} is a {kind} address")
