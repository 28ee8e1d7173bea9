"""What leaves the backlog is whole runs, each beginning with a key frame, and never old."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.publish.model import MediaFrame
from relay.publish.sinks.backlog import Backlog
from tests.relay.publish.fakes import frame, gop


def opened(max_lag_us: int = 1_000_000, max_bytes: int = 1 << 20) -> Backlog:
    backlog = Backlog(max_lag_us, max_bytes)
    backlog.open()
    return backlog


def drain(backlog: Backlog) -> list[MediaFrame]:
    return list(iter(backlog.pop, None))


def test_frames_come_out_in_order() -> None:
    backlog, frames = opened(), gop(0, 10)
    assert all(backlog.push(each) for each in frames)
    assert drain(backlog) == frames
    assert backlog.dropped == 0


def test_a_closed_way_keeps_nothing() -> None:
    backlog = Backlog()
    assert not any(backlog.push(each) for each in gop(0, 100))
    assert (len(backlog), backlog.dropped) == (0, 100)
    assert not backlog.needs_key


def test_an_opened_way_begins_with_a_key_frame() -> None:
    backlog = opened()
    assert backlog.needs_key
    for each in [frame(0), frame(1), *gop(2, 2)]:
        backlog.push(each)
    assert not backlog.needs_key
    assert drain(backlog) == gop(2, 2)
    assert backlog.dropped == 2


def test_closing_forgets_what_is_queued() -> None:
    backlog = opened()
    for each in gop(0, 5):
        backlog.push(each)
    backlog.close()
    backlog.open()
    assert (len(backlog), backlog.dropped, backlog.needs_key) == (0, 5, True)


def test_too_old_is_cut_back_to_the_newest_key_frame() -> None:
    backlog = opened()
    for each in gop(0, 10) + gop(10, 10) + gop(20, 7):
        backlog.push(each)
    assert drain(backlog) == gop(20, 7)
    assert backlog.dropped == 20


def test_without_a_newer_key_frame_it_is_emptied_and_wants_one() -> None:
    backlog = opened()
    for each in gop(0, 27):
        backlog.push(each)
    assert (len(backlog), backlog.needs_key, backlog.dropped) == (0, True, 27)
    backlog.push(frame(27))
    assert len(backlog) == 0


def test_too_many_bytes_count_as_well() -> None:
    backlog = opened(max_bytes=1000)
    for each in [frame(0, key=True, size=900), frame(1, key=True, size=200)]:
        backlog.push(each)
    assert drain(backlog) == [frame(1, key=True, size=200)]


def test_one_huge_frame_passes() -> None:
    backlog = opened(max_bytes=1000)
    assert backlog.push(frame(0, key=True, size=5000))


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["pop", "open", "close"]),
            st.tuples(st.booleans(), st.integers(0, 400)),
        ),
        max_size=150,
    )
)
def test_nothing_leaves_without_what_it_needs(events: list[str | tuple[bool, int]]) -> None:
    """Every delta frame that leaves follows its direct predecessor, and all are accounted for."""
    backlog = Backlog(max_lag_us=500_000, max_bytes=3000)
    pushed, taken, held = 0, [], 0
    for event in events:
        if event == "pop":
            got = backlog.pop()
            if got is not None:
                taken.append(got)
        elif event == "open":
            backlog.open()
        elif event == "close":
            backlog.close()
        else:
            assert isinstance(event, tuple)
            backlog.push(frame(pushed, key=event[0], size=event[1] + 8))
            pushed += 1
        held = len(backlog)
    last = -2
    for got in taken:
        number = got.pts_us // 40_000
        assert got.key or number == last + 1
        assert number > last
        last = number
    assert backlog.dropped + held + len(taken) == pushed
