"""A plain Close is answered as websockets answers the same bytes, or it is not taken."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import CloseCode

from tests.workers.client import masked
from workers.websocket import WebSocket, plain_close


def by_the_library(data: bytes) -> list[bytes] | None:
    """What goes out when ``data`` is the first that comes in; None unless it ends in order."""
    whole = WebSocket(4096)
    assert list(whole.receive(data)) == []
    sent = list(whole.to_send())
    in_order = sent[-1:] == [b""] and whole.error is None and not whole.open
    whole.release()
    return sent if in_order else None


def check(data: bytes) -> bool:
    """Whether the Close is taken, which it may only be with the library's answer and FIN."""
    answer = plain_close(data)
    if answer is None:
        return False
    assert by_the_library(data) == [answer, b""]
    return True


USUAL = [b"", CloseCode.NORMAL_CLOSURE.to_bytes(2), CloseCode.GOING_AWAY.to_bytes(2)]


@pytest.mark.parametrize("payload", USUAL)
@given(mask=st.binary(min_size=4, max_size=4))
def test_takes_what_browsers_and_programs_send(payload: bytes, mask: bytes) -> None:
    hidden = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    assert check(bytes((0x88, 0x80 | len(payload))) + mask + hidden)


NOT_PLAIN = {
    "nothing": b"",
    "all but a byte": masked(8, b"\x03\xe8")[:-1],
    "a byte more": masked(8, b"\x03\xe8") + b"\x88",
    "half a code": masked(8, b"\x03"),
    "a code that nobody may send": masked(8, (1006).to_bytes(2)),
    "a reason": masked(8, b"\x03\xe8bye"),
    "a ping": masked(9, b"\x03\xe8"),
    "not masked": b"\x88\x02\x03\xe8aaaa",
    "not final": b"\x08" + masked(8, b"\x03\xe8")[1:],
    "a reserved bit": b"\xc8" + masked(8, b"\x03\xe8")[1:],
}


@pytest.mark.parametrize("data", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_leaves_to_the_library(data: bytes) -> None:
    assert plain_close(data) is None


@given(st.binary(min_size=4, max_size=6), st.sampled_from((0x88, 0x89, 0x82, 0x80)))
@example(bytes(4) + (999).to_bytes(2), 0x88)
@example(bytes(4) + (1002).to_bytes(2), 0x88)
@example(bytes(4) + (4999).to_bytes(2), 0x88)
def test_agrees_with_the_library(masked_payload: bytes, first: int) -> None:
    check(bytes((first, 0x80 | len(masked_payload) - 4)) + masked_payload)
