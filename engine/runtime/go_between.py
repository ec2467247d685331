"""A child that goes where its parent couldn't come back from, makes another child for it there, and ends."""

from __future__ import annotations

import errno
import os

from engine.kernel import namespaces
from engine.kernel.namespaces import CLONE_PARENT
from engine.kernel.process import set_dumpable
from engine.runtime import messages
from engine.runtime.setup import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, NoReturn


def cloned(make: Callable[[], int], *, as_sibling: bool = False) -> int:
    """The pid that ``make`` answers with, in a child of ours (``as_sibling``: of our parent's, who reaps it). With
    CLONE_PARENT what it clones has the same parent as itself. Raises OSError, with its step."""
    own, its = messages.pair()
    with own:
        with its:
            between = namespaces.clone(CLONE_PARENT if as_sibling else 0)
            if between == 0:
                _go(make, its)
        received = messages.receive(own)
    if not as_sibling:
        os.waitpid(between, 0)
    answer = received[0] if received is not None else {"errno": errno.ECHILD, "message": "it ended", "step": ""}
    if "pid" not in answer:
        error = OSError(answer["errno"], answer["message"])
        if answer["step"]:
            error.step = answer["step"]  # type: ignore[attr-defined]
        raise error
    return int(answer["pid"])


def _go(make: Callable[[], int], parent: messages.Socket) -> NoReturn:
    try:
        set_dumpable(False)  # it is on its way to where others may look at it
        messages.send(parent, {"pid": make()})
    except OSError as error:
        messages.send(parent, failure(error))
    finally:
        os._exit(0)
