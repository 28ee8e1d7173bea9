"""A viewer's place in a stream: the four rules of `workers.viewer`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.test_window import frame
from workers.viewer import SkipCause, ViewerPosition, ViewerState
from workers.window import FrameWindow

LAG = 1.0


@dataclass
class Table:
    """A window and one viewer in front of it."""

    window: FrameWindow = field(default_factory=lambda: FrameWindow(10_000, LAG))
    viewer: ViewerPosition = field(default_factory=lambda: ViewerPosition(0.0))
    now: float = 0.0

    def frames(self, pattern: str) -> None:
        """Append frames: ``K`` is a key frame, anything else a delta frame."""
        for letter in pattern:
            self.window.append(frame(self.window.edge, key=letter == "K", at=self.now))

    def take(self) -> int | None:
        """Send what is due; its index."""
        index = self.viewer.next_index(self.window, self.now, LAG)
        if index is not None:
            self.viewer.sent(index)
        return index

    def take_all(self) -> list[int]:
        """Send all that is due."""
        taken = []
        while (index := self.take()) is not None:
            taken.append(index)
        return taken


class TestStarting:
    """Rule 2: nothing before a key frame."""

    def test_waits_for_the_first_key_frame(self) -> None:
        table = Table()
        table.viewer.join(table.window, 0.0)
        table.frames("ddd")
        assert table.take_all() == []
        assert table.viewer.needs_key
        table.frames("Kd")
        assert table.take_all() == [3, 4]
        assert not table.viewer.needs_key

    def test_joins_at_the_newest_key_frame(self) -> None:
        table = Table()
        table.frames("KddKdd")
        table.viewer.join(table.window, 0.0)
        assert table.take_all() == [3, 4, 5]
        assert table.viewer.take_skipped() == Counter()

    def test_an_old_key_frame_is_no_lag(self) -> None:
        """Who joins at a key frame of long ago has the lag to catch up, from then on."""
        table = Table()
        for _ in range(60):
            table.frames("K" if not table.window.edge else "d")
            table.now += 0.5
        table.viewer.join(table.window, table.now)
        assert [table.take() for _ in range(10)] == list(range(10))
        table.now += LAG
        assert table.take() == 10
        assert not table.viewer.late
        table.now += 0.1
        assert table.take() == 11
        assert table.viewer.late

    def test_joining_again_takes_only_what_comes_after_a_clear(self) -> None:
        table = Table()
        table.viewer.join(table.window, 0.0)
        table.frames("Kdd")
        assert table.take() == 0
        table.window.clear()
        table.viewer.join(table.window, 0.0)
        table.frames("d")
        assert table.take_all() == []
        table.frames("K")
        assert table.take_all() == [4]
        # Two that it had not been sent yet; what came before it could start is no skip.
        assert table.viewer.take_skipped() == Counter({SkipCause.NETWORK: 2})


class TestLag:
    """Rule 3: the live edge is held."""

    def start(self) -> Table:
        table = Table()
        table.viewer.join(table.window, 0.0)
        table.frames("K")
        assert table.take_all() == [0]
        return table

    def test_within_the_lag_every_frame_is_sent(self) -> None:
        table = self.start()
        table.frames("dKd")
        table.now = LAG
        assert table.take_all() == [1, 2, 3]

    def test_beyond_it_the_viewer_goes_to_the_newest_key_frame(self) -> None:
        table = self.start()
        table.frames("dd")
        table.now = 0.6
        table.frames("KdKd")
        table.now = LAG + 0.1
        assert table.take_all() == [5, 6]
        assert table.viewer.take_skipped() == Counter({SkipCause.NETWORK: 4})

    def test_without_a_newer_key_frame_it_goes_on_in_order(self) -> None:
        table = self.start()
        table.frames("ddd")
        table.now = LAG + 0.1
        assert table.take() == 1
        assert table.viewer.late
        assert not table.viewer.needs_key
        table.frames("Kd")
        assert table.take_all() == [4, 5]
        assert table.viewer.take_skipped() == Counter({SkipCause.NETWORK: 2})
        assert not table.viewer.late

    def test_who_has_caught_up_is_late_no_more(self) -> None:
        table = self.start()
        table.frames("dd")
        table.now = LAG + 0.1
        assert table.take_all() == [1, 2]
        assert not table.viewer.late

    @pytest.mark.parametrize("leave", ["hide", "lose"])
    def test_who_is_sent_nothing_is_not_late(self, leave: str) -> None:
        table = self.start()
        table.frames("dd")
        table.now = LAG + 0.1
        assert table.take() == 1
        if leave == "hide":
            table.viewer.pause()
        else:
            table.viewer.need_key(table.window, SkipCause.DECODER)
        assert not table.viewer.late

    def test_at_the_edge_no_time_is_lag(self) -> None:
        table = self.start()
        table.now = 1000.0
        assert table.take() is None
        assert table.viewer.state is ViewerState.LIVE
        table.frames("d")
        assert table.take() == 1

    def test_frames_that_fell_out_of_the_window_are_skipped(self) -> None:
        table = self.start()
        table.window = FrameWindow(100, LAG)
        table.viewer = ViewerPosition(0.0)
        table.viewer.join(table.window, 0.0)
        table.frames("K")
        assert table.take() == 0
        table.frames("ddddddddddKd")
        assert table.window.base > 1
        first, *_ = table.take_all()
        assert first == 11
        assert table.viewer.take_skipped() == Counter({SkipCause.NETWORK: 10})


class TestHidden:
    """Pause and resume."""

    def test_nothing_is_sent_and_everything_counted(self) -> None:
        table = TestLag().start()
        table.viewer.pause()
        table.frames("dKd")
        assert table.take_all() == []
        assert not table.viewer.needs_key
        table.viewer.resume(table.window, 0.0)
        assert table.take_all() == [2, 3]
        assert table.viewer.take_skipped() == Counter({SkipCause.HIDDEN: 1})

    def test_resume_goes_back_to_a_key_frame_it_had(self) -> None:
        table = TestLag().start()
        table.frames("d")
        table.take_all()
        table.viewer.pause()
        table.viewer.resume(table.window, 0.0)
        assert table.take_all() == [0, 1]
        assert table.viewer.take_skipped() == Counter()

    def test_resume_without_pause_changes_nothing(self) -> None:
        table = TestLag().start()
        table.viewer.resume(table.window, 0.0)
        table.frames("d")
        assert table.take_all() == [1]

    def test_need_key_while_hidden_does_not_unhide(self) -> None:
        table = TestLag().start()
        table.viewer.pause()
        table.viewer.need_key(table.window, SkipCause.DECODER)
        table.frames("K")
        assert table.take_all() == []

    def test_resume_after_the_end_goes_back_to_nothing(self) -> None:
        table = TestLag().start()
        table.viewer.pause()
        table.frames("dd")
        table.viewer.resume(table.window, 0.0, first=table.window.edge)
        assert table.take_all() == []
        table.frames("K")
        assert table.take_all() == [3]
        assert table.viewer.take_skipped() == Counter({SkipCause.HIDDEN: 2})

    def test_resume_goes_back_to_nothing_that_it_was_not_to_have(self) -> None:
        """Who joined after the end of a stream gets none of its old pictures, now or later."""
        table = Table()
        table.frames("Kdd")
        table.viewer.join(table.window, 0.0, first=table.window.edge)
        table.viewer.pause()
        table.viewer.resume(table.window, 0.0)
        assert table.take_all() == []
        table.frames("K")
        assert table.take_all() == [3]


class TestNeedKey:
    """The decoder lost its state."""

    def test_only_a_key_frame_that_it_was_not_sent_will_do(self) -> None:
        table = TestLag().start()
        table.viewer.need_key(table.window, SkipCause.DECODER)
        table.frames("dd")
        assert table.take_all() == []
        table.frames("K")
        assert table.take_all() == [3]
        assert table.viewer.take_skipped() == Counter({SkipCause.DECODER: 2})

    def test_the_first_cause_is_counted(self) -> None:
        table = TestLag().start()
        table.viewer.need_key(table.window, SkipCause.WORKER)
        table.viewer.need_key(table.window, SkipCause.DECODER)
        table.frames("dK")
        table.take_all()
        assert table.viewer.take_skipped() == Counter({SkipCause.WORKER: 1})


STEP = st.one_of(
    st.sampled_from(["K", "d", "d", "d", "take", "take", "take", "pause", "resume", "key", "lose"]),
    st.floats(0, 2 * LAG),
)


@given(st.lists(STEP, min_size=10, max_size=120), st.sampled_from([120, 400, 10_000]))
@settings(max_examples=400, deadline=None)
def test_rules_hold_for_any_sequence(steps: list[str | float], bound: int) -> None:
    """Deltas follow their predecessor; sent and skipped account for every frame."""
    table = Table(window=FrameWindow(bound, LAG))
    viewer, window = table.viewer, table.window
    viewer.join(window, 0.0)
    table.frames("K")
    first = table.take()
    assert first == 0
    previous = 0
    keys = {0}
    started = 0.0
    hidden = False
    # Each frame's fate, by index: sent (perhaps again, after a pause) or not.
    sent = {0}
    skipped: Counter[SkipCause] = Counter()
    for step in steps:
        if isinstance(step, float):
            table.now += step
        elif step in "Kd":
            if step == "K":
                keys.add(window.edge)
            table.frames(step)
        elif step == "take":
            index = table.take()
            if index is None:
                continue
            assert not hidden
            assert index in keys or index == previous + 1, "a delta without its predecessor"
            if index in keys:
                started = table.now
            # Rule 3; who catches up from a key frame has that long from there.
            if table.now - max(window[index].arrived, started) > LAG:
                assert viewer.late
                assert window.latest_key is None or window.latest_key <= index
            # Going back, after a pause, it starts again: what follows is sent or skipped anew.
            sent = {earlier for earlier in sent if earlier < index} | {index}
            previous = index
        elif step == "pause":
            viewer.pause()
            hidden = True
        elif step == "resume":
            viewer.resume(window, table.now)
            hidden = False
        elif step == "key":
            viewer.need_key(window, SkipCause.DECODER)
        elif step == "lose":
            # As the hub does when the next record is a delta frame after a gap.
            window.clear()
            viewer.need_key(window, SkipCause.WORKER)
        skipped += viewer.take_skipped()
        if viewer.state is ViewerState.LIVE:
            assert len(sent) + skipped.total() == max(viewer.position, max(sent) + 1)
    viewer.resume(window, table.now)
    table.frames("K")
    last = table.take_all()
    assert last[-1] == window.edge - 1, "the newest key frame always gets it going"
    sent = {earlier for earlier in sent if earlier < last[0]} | set(last)
    skipped += viewer.take_skipped()
    assert len(sent) + skipped.total() == window.edge
