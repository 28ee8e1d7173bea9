"""What bridges say to each other, and what they do not take."""

from __future__ import annotations

import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import InvalidName
from relay.cluster.delay import Delay
from relay.cluster.messages import (
    Announcement,
    Hello,
    Message,
    MessageInvalid,
    Node,
    Want,
    decode,
    encode,
)
from relay.cluster.pieces import Piece
from relay.cluster.subjects import Subject, Subjects, parse_subject

MESSAGES: list[Message] = [
    Node(1, 2),
    Announcement(live=True, codec="avc1.64001f", width=640, height=480, fps=25.0),
    Want(True, join=True, sent=5),
    Hello(1, 2, "mjpeg", 3, 4, 5.0, b"init", -6, 7),
    Piece(1, 2, True, 0, 1, 3, 4, b"data"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda each: type(each).__name__)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode(encode(message)) == message


def test_fields_of_a_later_version_are_ignored() -> None:
    later = {"type": "node", "boot": 1, "started": 2, "colour": "red"}
    assert decode(msgpack.packb(later)) == Node(1, 2)


@pytest.mark.parametrize(
    "value",
    [
        {"type": "nothing"},
        {"type": "node", "boot": "x", "started": 1},
        {"type": "node"},
        {"type": "want", "wanted": 1},
        {"type": "hello", "init": "text"},
        {"boot": 1},
        {"type": ["node"]},
        {"type": "node", "boot": -1, "started": 1},
        {"type": "node", "boot": True, "started": 1},
        {"type": "node", "boot": 1, "started": 2**60},
        {"type": "stream", "live": True, "fps": float("nan")},
        {"type": "stream", "live": True, "fps": float("inf")},
        {"type": "stream", "live": True, "codec": "x" * 100_000},
        [1, 2, 3],
        ["x"] * 8,
        7,
        None,
    ],
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(MessageInvalid):
        decode(msgpack.packb(value))


@given(st.binary(max_size=200))
def test_bytes_are_a_message_or_an_error(data: bytes) -> None:
    with contextlib.suppress(MessageInvalid):
        decode(data)


def test_names_with_dots_are_one_token() -> None:
    subjects = Subjects("eu", "north.1")
    assert subjects.frames("cam.0") == "relay.v1.eu.frames.north=1.cam=0"
    assert parse_subject(subjects.frames("cam.0")) == Subject("frames", "north.1", "cam.0")
    assert parse_subject(subjects.want("b.c", "cam.")) == Subject("want", "north.1", "cam.")
    replay = subjects.replay("x", to="b")
    assert parse_subject(replay) == Subject("replay", "north.1", "x")
    assert replay == Subjects("eu", "b").replay("x", owner="north.1")
    assert parse_subject(subjects.node) == Subject("node", "north.1", "")


@pytest.mark.parametrize(
    "subject",
    [
        "relay.v1.eu.node.a/b",
        "relay.v1.eu.node.=",
        "relay.v1.eu.stream.north.==",
        "relay.v1.eu.stream.north." + "x" * 65,
        "relay.v1.eu.want.north.b.a/../b",
    ],
)
def test_names_that_no_node_or_stream_can_have_are_refused(subject: str) -> None:
    with pytest.raises(InvalidName):
        parse_subject(subject)


def test_delay_is_what_is_above_the_least_whatever_the_clocks_say() -> None:
    delay = Delay()
    ahead = 10**12
    assert delay.lag(0, ahead + 5_000, 0.0) == 0.0
    assert delay.lag(0, ahead + 205_000, 0.0) == pytest.approx(0.2)
    assert delay.lag(0, ahead + 2_000, 0.0) == 0.0
    # Clocks drift: the least of long ago counts for less.
    assert delay.lag(0, ahead + 202_000, 100.0) == pytest.approx(0.1)


def test_after_a_clock_was_set_delay_counts_from_there_once_nothing_waits() -> None:
    delay = Delay()
    hour = 3_600_000_000
    assert delay.lag(0, 5_000, 0.0) == 0.0
    assert delay.lag(0, hour, 0.0) > 3599
    delay.expect_fresh()
    assert delay.lag(0, hour, 0.0) == 0.0
    assert delay.lag(0, hour + 200_000, 0.0) == pytest.approx(0.2)
    # A little late is no clock that was set.
    delay.expect_fresh()
    assert delay.lag(0, hour + 100_000, 0.0) == pytest.approx(0.1)
