"""Networks: create, list, remove, connect, disconnect; and who had an address."""

from __future__ import annotations

from engine.cli.command import Command
from engine.cli.containers import AS_OF_HELP
from engine.cli.create_values import parse_link, set_only
from engine.cli.flags import Options, listed, switch, text
from engine.cli.listing import Row, filter_flag, filters_query, format_flag, labels_text, short_id, show
from engine.cli.outcomes import for_each
from engine.cli.output import CommandError, err, out
from engine.cli.session import Session
from engine.cli.volumes import pairs
from engine.client.api import path_of
from engine.client.errors import APIError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

_HEADERS = {
    "ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "IPv4": "IPV4", "IPv6": "IPV6",
    "Internal": "INTERNAL", "Labels": "LABELS", "CreatedAt": "CREATED AT",
}  # fmt: skip


def create_network(session: Session, options: Options, arguments: list[str]) -> int:
    body = {
        "Name": arguments[0],
        "CheckDuplicate": True,
        "Driver": options.driver,
        "EnableIPv6": options.ipv6,
        "Internal": options.internal,
        "Attachable": options.attachable,
        **set_only({"Ingress": options.ingress, "ConfigOnly": options.config_only, "Scope": options.scope}),
        **({"ConfigFrom": {"Network": options.config_from}} if options.config_from else {}),
        **({} if options.ipv4 else {"EnableIPv4": False}),
        "IPAM": {"Driver": options.ipam_driver, "Config": _pools(options), "Options": pairs(options.ipam_opt)},
        "Options": pairs(options.opt),
        "Labels": pairs(options.label),
    }
    answer = session.client.call("POST", "/networks/create", body)
    if warning := answer.get("Warning"):
        err(f"WARNING: {warning}")
    out(answer["Id"] + "\n")
    return 0


def _pools(options: Options) -> list[dict[str, Any]]:
    """One entry a subnet; gateways, ranges and reserved addresses go to the one of their family, in order."""
    pools: list[dict[str, Any]] = [{"Subnet": subnet} for subnet in options.subnet]
    for key, values in (("IPRange", options.ip_range), ("Gateway", options.gateway)):
        _distribute(pools, key, values)
    for entry in options.aux_address:
        name, found, address = entry.partition("=")
        if not found:
            raise CommandError(f"invalid auxiliary address {entry!r}: give NAME=ADDRESS")
        pool = next((one for one in pools if (":" in one["Subnet"]) == (":" in address)), None)
        if pool is None:
            raise CommandError(f"no matching subnet for aux-address {address}")
        pool.setdefault("AuxiliaryAddresses", {})[name] = address
    return pools


def _distribute(pools: list[dict[str, Any]], key: str, values: Sequence[str]) -> None:
    for value in values:
        free = (one for one in pools if key not in one and (":" in one["Subnet"]) == (":" in value))
        pool = next(free, None)
        if pool is None:
            raise CommandError(f"no matching subnet for {key.lower()} {value}: give a --subnet beside it")
        pool[key] = value


_COLUMNS = ("ID", "Name", "Driver", "Scope")


def list_networks(session: Session, options: Options, arguments: list[str]) -> int:
    query: dict[str, Any] = {"filters": filters_query(options.filter)}
    path = "/networks"
    if options.as_of:
        path, query["as_of"] = "/docket/networks", options.as_of
    found = sorted(session.client.call("GET", path, query=query), key=lambda network: network["Name"])
    if options.quiet and not options.format:
        out("".join((one["Id"] if options.no_trunc else short_id(one["Id"])) + "\n" for one in found))
        return 0
    rows = [_row(network, whole=options.no_trunc) for network in found]
    raw = [("network_id", "ID"), *(() if options.quiet else ((name.lower(), name) for name in _COLUMNS[1:]))]
    show(rows, [(_HEADERS[field], field) for field in _COLUMNS], options.format, _HEADERS, raw)
    return 0


def _row(network: dict[str, Any], *, whole: bool) -> Row:
    labels = network.get("Labels") or {}
    return Row(
        ID=network["Id"] if whole else short_id(network["Id"]),
        Name=network["Name"],
        Driver=network.get("Driver", ""),
        Scope=network.get("Scope", ""),
        IPv4=str(bool(network.get("EnableIPv4", True))).lower(),
        IPv6=str(bool(network.get("EnableIPv6"))).lower(),
        Internal=str(bool(network.get("Internal"))).lower(),
        Labels=labels_text(labels),
        CreatedAt=network.get("Created", "").replace("T", " ").replace("Z", " +0000 UTC"),
        Label=lambda name: labels.get(name, ""),
    )


def remove_networks(session: Session, options: Options, arguments: list[str]) -> int:
    client = session.client

    def remove(name: str) -> None:
        try:
            client.call("DELETE", path_of("networks", name))
        except APIError as error:
            if not (options.force and error.status == 404):
                raise

    return for_each(arguments, remove)


def connect_network(session: Session, options: Options, arguments: list[str]) -> int:
    network, container = arguments
    addresses = set_only({
        "IPv4Address": options.ip, "IPv6Address": options.ip6, "LinkLocalIPs": options.link_local_ip,
    })  # fmt: skip
    endpoint = set_only({
        "IPAMConfig": addresses, "Aliases": options.alias, "Links": options.link,
        "DriverOpts": pairs(options.driver_opt), "GwPriority": options.gw_priority,
    })  # fmt: skip
    body = {"Container": container, "EndpointConfig": endpoint}
    session.client.call("POST", path_of("networks", network, "connect"), body)
    return 0


def disconnect_network(session: Session, options: Options, arguments: list[str]) -> int:
    network, container = arguments
    body = {"Container": container, "Force": options.force}
    session.client.call("POST", path_of("networks", network, "disconnect"), body)
    return 0


def show_holder(session: Session, options: Options, arguments: list[str]) -> int:
    network, address = arguments
    query = {"as_of": options.as_of or None}
    found = session.client.call("GET", "/docket" + path_of("networks", network, "holder", address), query=query)
    out(f"{short_id(found['Container'])} {found['Name']}\n")
    return 0


CREATE = Command(
    create_network,
    "[OPTIONS] NETWORK",
    switch("--attachable", "Enable manual container attachment"),
    text("--config-from", "The network from which to copy the configuration (swarm)"),
    switch("--config-only", "Create a configuration only network (swarm)"),
    switch("--ingress", "Create swarm routing-mesh network"),
    switch("--ipv4", "Enable IPv4 address assignment", default=True),
    text("--scope", "Control the network's scope"),
    listed("--aux-address", "Addresses that no container gets (NAME=ADDRESS)", "map"),
    text("-d, --driver", "Driver to manage the Network", "bridge"),
    listed("--gateway", "IPv4 or IPv6 Gateway for the subnet"),
    switch("--internal", "Restrict external access to the network"),
    text("--ipam-driver", "IP Address Management Driver", "default"),
    listed("--ipam-opt", "Set IPAM driver specific options", "map"),
    listed("--ip-range", "Allocate container ip from a sub-range"),
    switch("--ipv6", "Enable IPv6 networking"),
    listed("--label", "Set metadata on a network"),
    listed("-o, --opt", "Set driver specific options", "map"),
    listed("--subnet", "Subnet in CIDR format that represents a network segment"),
    least=1,
    most=1,
    examples="docket network create app\ndocket network create --subnet 10.9.0.0/24 --internal back",
)
LIST = Command(
    list_networks,
    "[OPTIONS]",
    text("--as-of", AS_OF_HELP),
    filter_flag(help='Provide filter values (e.g. "driver=bridge")'),
    format_flag(),
    switch("--no-trunc", "Do not truncate the output"),
    switch("-q, --quiet", "Only display network IDs"),
    most=0,
    examples="docket network ls\ndocket network ls --as-of 2h",
)
REMOVE = Command(
    remove_networks,
    "[OPTIONS] NETWORK [NETWORK...]",
    switch("-f, --force", "Do not error if the network does not exist"),
    least=1,
    examples="docket network rm app",
)
CONNECT = Command(
    connect_network,
    "[OPTIONS] NETWORK CONTAINER",
    listed("--alias", "Add network-scoped alias for the container"),
    listed("--driver-opt", "driver options for the network", "map"),
    text("--gw-priority", "Highest gw-priority provides the default gateway"),
    listed("--link-local-ip", "Add a link-local address for the container"),
    text("--ip", "IPv4 address (e.g., 172.30.100.104)"),
    text("--ip6", "IPv6 address (e.g., 2001:db8::33)"),
    listed("--link", "Add link to another container (NAME or NAME:ALIAS)", parse=parse_link),
    least=2,
    most=2,
    examples="docket network connect --alias db app postgres",
)
DISCONNECT = Command(
    disconnect_network,
    "[OPTIONS] NETWORK CONTAINER",
    switch("-f, --force", "Force the container to disconnect from a network"),
    least=2,
    most=2,
    examples="docket network disconnect app postgres",
)
HOLDER = Command(
    show_holder,
    "[OPTIONS] NETWORK ADDRESS",
    text("--as-of", AS_OF_HELP),
    least=2,
    most=2,
    examples="docket network holder --as-of 2026-11-23T14:00:00Z app 10.9.0.5",
)
