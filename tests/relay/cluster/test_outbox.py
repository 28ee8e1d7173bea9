"""What waits to be sent: little, and the newest."""

from __future__ import annotations

from relay.cluster.outbox import GROUP_BYTES, WAITING_BYTES, Notice, Outbox
from relay.cluster.pieces import NumberedFrame

HELLO = Notice("subject", b"hello")


def frame(number: int, *, key: bool = False, size: int = 10) -> NumberedFrame:
    return NumberedFrame(1, number, key, bytes(size))


def numbers(box: Outbox) -> list[int]:
    found = []
    while (item := box.pop()) is not None:
        if isinstance(item, NumberedFrame):
            found.append(item.number)
    return found


def test_frames_and_notices_keep_their_order() -> None:
    box = Outbox(1.0)
    box.notice(HELLO, 0.0)
    box.push(frame(0, key=True), 0.0)
    box.push(frame(1), 0.1)
    assert box.pop() is HELLO
    assert numbers(box) == [0, 1]
    assert box.dropped == 0


def test_it_begins_with_a_key_frame() -> None:
    box = Outbox(1.0)
    box.push(frame(0), 0.0)
    box.push(frame(1, key=True), 0.0)
    assert numbers(box) == [1]
    assert box.dropped == 1


def test_what_is_too_old_goes_up_to_the_newest_key_frame() -> None:
    box = Outbox(1.0)
    for number in range(10):
        box.push(frame(number, key=number in (0, 4, 8)), number * 0.1)
    box.notice(HELLO, 1.0)
    assert box.dropped == 0
    box.push(frame(10), 1.05)
    assert box.dropped == 8
    assert not box.needs_key
    items = [box.pop() for _ in range(4)]
    assert [each.number for each in items if isinstance(each, NumberedFrame)] == [8, 9, 10]
    assert items[2] is HELLO


def test_without_a_newer_key_frame_everything_goes_and_one_is_needed() -> None:
    box = Outbox(1.0)
    box.push(frame(0, key=True), 0.0)
    box.push(frame(1), 0.5)
    box.push(frame(2), 1.5)
    assert box.needs_key
    box.push(frame(3), 1.6)
    assert numbers(box) == []
    box.push(frame(4, key=True), 1.7)
    assert numbers(box) == [4]
    assert box.dropped == 4


def test_memory_is_bounded_however_much_comes() -> None:
    box = Outbox(1000.0)
    size = WAITING_BYTES // 10
    for number in range(200):
        box.push(frame(number, key=number % 7 == 0, size=size), 0.0)
    assert sum(size for _ in numbers(box)) <= WAITING_BYTES


def test_a_single_key_frame_may_be_larger_than_that() -> None:
    box = Outbox(1.0)
    box.push(frame(0, key=True, size=WAITING_BYTES + 1), 0.0)
    assert numbers(box) == [0]


def test_what_was_sent_since_the_key_frame_can_be_replayed() -> None:
    box = Outbox(1.0)
    for number in range(6):
        box.push(frame(number, key=number in (0, 3)), 0.0)
    assert box.group == []
    numbers(box)
    assert [each.number for each in box.group] == [3, 4, 5]


def test_a_group_that_is_too_large_or_has_a_gap_cannot_be_replayed() -> None:
    box = Outbox(1.0)
    box.push(frame(0, key=True, size=GROUP_BYTES), 0.0)
    box.pop()
    box.push(frame(1), 0.0)
    box.pop()
    assert box.group == []
    box.push(frame(2, key=True), 0.0)
    box.push(frame(4), 0.0)
    numbers(box)
    assert box.group == []
