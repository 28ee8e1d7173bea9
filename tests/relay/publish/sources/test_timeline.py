"""One continuous clock out of loops, reopened sources and bad time stamps."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from relay.publish.sources.timeline import Stamp, Timeline

MS = Fraction(1, 1000)


def dts(timeline: Timeline, *times: int | None) -> list[int]:
    return [timeline.place(time, time, MS).dts_us for time in times]


def test_source_times_are_kept() -> None:
    assert dts(Timeline(), 1400, 1440, 1480) == [1_400_000, 1_440_000, 1_480_000]


def test_a_loop_goes_on_one_frame_later() -> None:
    timeline = Timeline()
    dts(timeline, 0, 40, 80)
    timeline.restart()
    assert dts(timeline, 0, 40) == [120_000, 160_000]


def test_b_frames_keep_their_distance_to_decode_times_across_a_loop() -> None:
    timeline = Timeline()
    order = [(0, -80), (120, -40), (40, 0), (80, 40)]
    first = [timeline.place(pts, dts, MS) for pts, dts in order]
    timeline.restart()
    second = [timeline.place(pts, dts, MS) for pts, dts in order]
    assert first[0] == Stamp(-80_000, 0)
    shift = second[0].dts_us - first[0].dts_us
    assert shift == 160_000
    assert [stamp.pts_us - shift for stamp in second] == [stamp.pts_us for stamp in first]


def test_missing_times_are_counted() -> None:
    timeline = Timeline(frame_us=33_000)
    assert dts(timeline, None, None, None) == [0, 33_000, 66_000]


def test_the_frame_length_is_used_for_missing_times() -> None:
    timeline = Timeline()
    timeline.place(None, None, MS, 20)
    assert timeline.place(None, None, MS, 20).dts_us == 20_000


def test_a_jump_of_the_source_clock_is_bridged() -> None:
    assert dts(Timeline(), 0, 40, 95_443_717, 95_443_757) == [0, 40_000, 80_000, 120_000]


def test_a_step_back_is_bridged() -> None:
    assert dts(Timeline(), 5000, 5040, 0, 40) == [5_000_000, 5_040_000, 5_080_000, 5_120_000]


def test_a_slide_show_keeps_its_long_frames() -> None:
    assert dts(Timeline(), 0, 20_000) == [0, 20_000_000]


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.just("restart"),
            st.tuples(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40)),
        )
    )
)
def test_decode_times_never_go_back(events: list[str | tuple[int, int] | None]) -> None:
    timeline, last = Timeline(), None
    for event in events:
        if event == "restart":
            timeline.restart()
            continue
        pts, time = event if isinstance(event, tuple) else (None, None)
        stamp = timeline.place(pts, time, MS)
        assert last is None or stamp.dts_us >= last
        assert stamp.pts_us >= stamp.dts_us
        last = stamp.dts_us
