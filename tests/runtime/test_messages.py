"""Messages between the processes: what was said before an end is heard."""

from __future__ import annotations

import socket

import pytest

from engine.runtime import messages


@pytest.mark.parametrize("size", [10, 100_000], ids=["in the packet", "in a file"])
def test_a_message_comes_as_it_was_sent(size: int) -> None:
    ours, theirs = messages.pair()
    with ours, theirs:
        messages.send(ours, {"text": "x" * size})
        assert messages.receive(theirs) == ({"text": "x" * size}, [])


def test_last_words_are_heard_though_the_speaker_left_with_something_unread() -> None:
    """unix(7): closing with unread data resets the other end, and that is told before what waits in its queue."""
    ours, theirs = messages.pair()
    with ours:
        messages.send(ours, {"op": "never read"})
        messages.send(theirs, {"type": "failed"})
        theirs.close()
        assert messages.receive(ours) == ({"type": "failed"}, [])
        assert messages.receive(ours) is None


def test_an_end_without_a_word_is_none() -> None:
    ours, theirs = messages.pair()
    with ours:
        messages.send(ours, {"op": "never read"})
        theirs.close()
        assert messages.receive(ours) is None
        with pytest.raises(OSError):
            messages.send(ours, {"op": "nobody is there"})


def test_nothing_to_read_yet_is_told_apart_from_an_end() -> None:
    ours, theirs = messages.pair()
    with ours, theirs, pytest.raises(BlockingIOError):
        messages.receive(ours, int(socket.MSG_DONTWAIT))
