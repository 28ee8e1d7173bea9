"""A hub on fakes: who is sent what, whatever happens in between."""

from __future__ import annotations

import pytest

from tests.workers.conftest import MakeStage
from tests.workers.hub_fakes import FakeChannel, Stage
from workers.row_histogram import SEND_DELAY
from workers.table import Column


class TestJoining:
    """State first, then frames from the newest key frame."""

    def test_without_a_publisher_it_is_told_so(self, make_stage: MakeStage) -> None:
        viewer = make_stage().view()
        assert viewer.kinds == ["ended"]

    def test_from_the_newest_key_frame_on(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        stage.view()
        stage.start()
        for key in (True, False, True, False, False):
            stage.frame(key=key)
        late = stage.view()
        assert late.kinds == ["hello", "frame", "frame", "frame"]
        assert late.numbers == [2, 3, 4]
        stage.frame()
        assert late.numbers == [2, 3, 4, 5]

    def test_before_the_first_key_frame_it_waits_and_asks_for_one(
        self, make_stage: MakeStage
    ) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.frame()
        stage.hub.tick(1e9)
        assert viewer.numbers == []
        assert stage.subscription.keys_wanted == 1
        stage.frame(key=True)
        stage.frame()
        assert viewer.numbers == [1, 2]

    def test_key_requests_are_rationed(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        stage.view()
        stage.start()
        for tenth in range(20):
            stage.hub.tick(1e6 + tenth / 10)
        assert stage.subscription.keys_wanted == 4
        assert stage.row.counts[Column.KEY_REQUESTS] == 4

    def test_nobody_waiting_asks_for_nothing(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        stage.view()
        stage.start()
        stage.frame(key=True)
        stage.hub.tick(1e9)
        assert stage.subscription.keys_wanted == 0


class TestMemory:
    """Frames that everybody has been sent are in the ring only, when the next one comes."""

    def held(self, stage: Stage) -> list[int]:
        """Which frames the worker has a copy of."""
        window = stage.hub.window
        return [index for index in range(window.base, window.edge) if window[index].message]

    def test_nothing_is_kept_while_nobody_is_behind(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        players, hidden = [stage.view(), stage.view(raw=True)], stage.view()
        stage.start()
        stage.hub.pause(hidden)
        stage.frame(key=True)
        for _ in range(4):
            stage.frame()
            assert self.held(stage) == [stage.seq - 1]
        assert players[0].numbers == [0, 1, 2, 3, 4]
        assert players[1].fake.received == [b"p%d" % number for number in range(5)]

    def test_whoever_begins_earlier_has_it_read_again(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        stage.view()
        stage.start()
        for key in (True, False, True, False):
            stage.frame(key=key)
        assert self.held(stage) == [3]
        late, raw = stage.view(), stage.view(raw=True)
        assert late.numbers == [2, 3]
        assert raw.fake.received == [b"p2", b"p3"]
        stage.frame()
        assert late.numbers == [2, 3, 4]
        assert self.held(stage) == [4]

    def test_what_somebody_waits_for_is_kept(self, make_stage: MakeStage) -> None:
        stage = make_stage(slow=True)
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.frame()
        stage.subscription.ring.clear()
        stage.frame()
        assert self.held(stage) == [0, 1, 2]
        for _ in range(3):
            viewer.fake.complete()
        assert viewer.numbers == [0, 1, 2]
        stage.frame()
        assert self.held(stage) == [3]

    def test_it_is_kept_a_while_for_who_comes_next(self, make_stage: MakeStage) -> None:
        stage = make_stage(keep=1e9)
        stage.view()
        stage.start()
        stage.frame(key=True)
        stage.view()
        stage.frame()
        stage.subscription.ring.clear()
        assert stage.view().numbers == [0, 1]

    def test_with_the_ring_overwritten_it_waits_for_a_key_frame(
        self, make_stage: MakeStage
    ) -> None:
        stage = make_stage()
        stage.view()
        stage.start()
        stage.frame(key=True)
        stage.frame()
        stage.subscription.ring.clear()
        late = stage.view()
        assert late.numbers == []
        assert stage.subscription.keys_wanted == 1
        stage.frame()
        stage.frame(key=True)
        assert late.numbers == [3]
        # It was never due what came before.
        assert stage.row.counts[Column.SKIPPED_NETWORK] == 0

    def test_another_publisher_has_another_ring(self, make_stage: MakeStage) -> None:
        stage = make_stage(slow=True)
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.hub.pause(viewer)
        stage.frame()
        stage.frame()
        # It has to wait until what is in flight is out.
        stage.hub.resume(viewer)
        stage.end()
        stage.subscription.ring = dict.fromkeys(stage.subscription.ring, b"\x82\x05wrong")
        viewer.fake.complete()
        assert viewer.kinds == ["ended", "live", "hello", "frame", "ended"]


class TestHidden:
    """A hidden viewer is sent no frame, whatever it or the stream does."""

    def test_nothing_while_hidden_then_from_the_newest_key(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.hub.pause(viewer)
        for key in (False, True, False):
            stage.frame(key=key)
        assert viewer.numbers == [0]
        stage.hub.resume(viewer)
        assert viewer.numbers == [0, 2, 3]
        stage.frame()
        assert viewer.numbers == [0, 2, 3, 4]

    def test_hidden_while_a_frame_is_in_flight(self, make_stage: MakeStage) -> None:
        stage = make_stage(slow=True)
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.hub.pause(viewer)
        viewer.fake.complete()
        stage.frame(key=True)
        assert viewer.numbers == [0]

    def test_asking_for_a_key_frame_while_hidden_changes_nothing(
        self, make_stage: MakeStage
    ) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.hub.pause(viewer)
        stage.hub.decoder_needs_key(viewer)
        stage.frame(key=True)
        assert viewer.numbers == [0]

    def test_hidden_through_a_new_publisher(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.hub.pause(viewer)
        stage.end()
        stage.start(epoch=2)
        stage.frame(key=True)
        assert viewer.numbers == [0]
        stage.hub.resume(viewer)
        assert viewer.numbers == [0, 1]

    def test_frames_missed_are_counted(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.hub.pause(viewer)
        stage.hub.pause(viewer)
        for _ in range(5):
            stage.frame()
        stage.frame(key=True)
        stage.hub.resume(viewer)
        # Five deltas; the key frame is sent.
        assert stage.row.counts[Column.SKIPPED_HIDDEN] == 5


class TestLoss:
    """The worker lost records: no delta frame after the gap."""

    def test_delta_after_a_gap_is_not_sent(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.frame(lost=3)
        stage.frame()
        assert viewer.numbers == [0]
        stage.frame(key=True)
        assert viewer.numbers == [0, 6]

    def test_key_after_a_gap_is_sent(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.frame(key=True, lost=3)
        assert viewer.numbers == [0, 4]
        assert stage.row.counts[Column.LAPPED_RECORDS] == 3
        assert stage.row.counts[Column.SKIPPED_WORKER] == 3

    def test_damage_is_not_counted_as_lapping(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        stage.view()
        stage.start()
        stage.frame(key=True)
        for corrupt in (1, 3, 7):
            stage.subscription.corrupt = corrupt
            stage.frame(key=True, lost=3)
        assert stage.row.counts[Column.CORRUPT_RECORDS] == 7
        assert stage.row.counts[Column.LAPPED_RECORDS] == 3

    def test_who_is_behind_does_not_run_into_the_gap(self, make_stage: MakeStage) -> None:
        stage = make_stage(slow=True)
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.frame()
        stage.frame(key=True)
        stage.frame()
        stage.frame(lost=3)
        for _ in range(6):
            viewer.fake.complete()
        assert 7 not in viewer.numbers
        key = stage.frame(key=True)
        viewer.fake.complete()
        assert viewer.numbers[-1] == key

    def test_who_joins_after_a_gap_does_not_run_into_it(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        stage.view()
        stage.start()
        stage.frame(key=True)
        stage.frame()
        stage.frame(lost=3)
        late = stage.view()
        assert 5 not in late.numbers


class TestSharing:
    """One viewer's state is no other's."""

    def test_busy_viewers_do_not_hold_up_idle_ones(self, make_stage: MakeStage) -> None:
        stage = make_stage(slow=True)
        busy, idle = stage.view(), stage.view()
        stage.start()
        for _ in range(3):
            stage.frame(key=True)
            idle.fake.complete()
        assert busy.numbers == [0]
        assert idle.numbers == [0, 1, 2]
        busy.fake.complete()
        busy.fake.complete()
        assert busy.numbers == [0, 1, 2]

    def test_all_get_the_same_bytes(
        self, make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stage = make_stage()
        sent: list[bytes] = []
        send = FakeChannel.send

        def record(channel: FakeChannel, data: bytes) -> bool:
            sent.append(data)
            return send(channel, data)

        monkeypatch.setattr(FakeChannel, "send", record)
        for _ in range(5):
            stage.view()
        stage.start()
        stage.frame(key=True)
        assert len(sent) == 5
        assert len({id(data) for data in sent}) == 1

    def test_more_events_than_a_turn_takes(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.happen(*[stage.record(key=number == 0) for number in range(500)])
        assert viewer.numbers == list(range(500))

    def test_who_left_is_sent_nothing(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        gone, stays = stage.view(), stage.view()
        stage.start()
        stage.frame(key=True)
        stage.hub.remove(gone)
        stage.frame()
        assert gone.numbers == [0]
        assert stays.numbers == [0, 1]


class TestSendDelays:
    """Every frame that is handed to a socket has its delay counted, once for each viewer."""

    def test_of_those_at_the_edge_and_of_the_late(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        viewers = [stage.view(), stage.view(), stage.view(raw=True)]
        stage.start()
        for key in (True, False, False):
            stage.frame(key=key)
        late = stage.view()
        assert [len(late.numbers), len(viewers[0].numbers)] == [3, 3]
        counted = sum(stage.row.counts[column] for column in SEND_DELAY.columns)
        assert counted == stage.row.counts[Column.FRAMES_SENT] == 12


def test_who_caught_up_is_behind_no_more(make_stage: MakeStage) -> None:
    stage = make_stage()
    viewer = stage.view()
    stage.start()
    stage.frame(key=True)
    viewer.entry.behind(3.0)
    stage.hub.tick(1e9)
    assert viewer.entry.lag == 0.0
