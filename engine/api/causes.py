"""Which request an event came from, and what a client that sends many for one purpose says of them.

``docket compose`` gives all requests of one command the same ``X-Docket-Correlation``, and says by ``X-Docket-Cause``
what each is for: ``shop/up`` or ``shop/start/web``. Both are claims of the client, like the door, and are checked for
their form alone: the actor of an event is the kernel's word.
"""

from __future__ import annotations

import os
import re
from typing import Mapping

from engine.domain.errors import InvalidArgument

CORRELATION, CAUSE = "x-docket-correlation", "x-docket-cause"
_CORRELATION = re.compile(r"[0-9a-f]{16,64}")
_CAUSE = re.compile(r"[a-z0-9][a-z0-9_-]{0,254}/[a-z]{1,20}(/[a-zA-Z0-9._-]{1,255})?")


def of(headers: Mapping[str, str]) -> tuple[str, str]:
    """Correlation and causation. Raises InvalidArgument."""
    request_id = os.urandom(8).hex()
    correlation, cause = headers.get(CORRELATION), headers.get(CAUSE)
    if correlation is not None and not _CORRELATION.fullmatch(correlation):
        raise InvalidArgument("X-Docket-Correlation must be 16 to 64 hexadecimal digits")
    if cause is not None and not _CAUSE.fullmatch(cause):
        raise InvalidArgument("X-Docket-Cause must be PROJECT/VERB or PROJECT/VERB/SERVICE")
    return correlation or request_id, f"compose:{cause}" if cause else f"request:{request_id}"
