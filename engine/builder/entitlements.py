"""What a RUN may ask for beyond the isolation of every container, where the client allows it to the build."""

from __future__ import annotations

from engine.builder.dockerfile import DockerfileError
from engine.builder.instructions import Run
from engine.builder.orders import Order

INSECURE, HOST_NETWORK = "security.insecure", "network.host"
ENTITLEMENTS = frozenset({INSECURE, HOST_NETWORK})


def is_insecure(command: Run, order: Order) -> bool:
    """Whether the step has every power: it says so itself, or nothing in a build that is privileged as a whole."""
    return (command.security or ("insecure" if order.privileged else "sandbox")) == "insecure"


def check_entitled(command: Run, order: Order) -> None:
    """Raises DockerfileError with the line of a step that asks for what the client hasn't allowed."""
    asked = {INSECURE: is_insecure(command, order), HOST_NETWORK: command.network == "host"}
    for entitlement, is_asked in asked.items():
        if is_asked and entitlement not in order.entitlements:
            message = f"RUN asks for {entitlement}, which is not allowed: allow it with --allow {entitlement}"
            raise DockerfileError(command.source.line, message, order.dockerfile)
