"""A hub on fakes: who is sent what, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.errors import SegmentInvalid
from bus.frame import Frame
from bus.stream import Metadata
from bus.subscription import Ended, Started
from tests.workers.hub_fakes import FakeChannel, FakeViewer, Stage
from workers.row_histogram import SEND_DELAY
from workers.table import Column

MakeStage = Callable[..., Stage]


@pytest.fixture
def make_stage(monkeypatch: pytest.MonkeyPatch) -> MakeStage:
    """Makes hubs on fakes."""
    return lambda **options: Stage(monkeypatch, **options)


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


class TestPublishers:
    """A publisher comes, changes, goes: hello comes before what it describes."""

    def test_live_and_hello_precede_the_first_frame(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start(epoch=7)
        stage.frame(key=True)
        assert viewer.kinds == ["ended", "live", "hello", "frame"]

    def test_after_a_new_epoch_delta_frames_wait_for_a_key_frame(
        self, make_stage: MakeStage
    ) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start(epoch=1)
        stage.frame(key=True)
        stage.end(Ended.DIED)
        stage.start(epoch=2)
        stage.frame()
        stage.frame(key=True)
        assert viewer.kinds == ["ended", "live", "hello", "frame"] * 2
        assert viewer.numbers == [0, 2]

    def test_new_init_data_is_told_before_the_next_frame(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start(init=b"one")
        stage.frame(key=True)
        stage.start(init=b"two")
        assert viewer.kinds == ["ended", "live", "hello", "frame", "hello"]
        stage.frame()
        assert viewer.kinds[-1] == "hello"
        stage.frame(key=True)
        assert viewer.numbers == [0, 2]

    def test_of_old_frames_none_follows_new_init_data(self, make_stage: MakeStage) -> None:
        """A viewer that is behind must not get old frames after the new description."""
        stage = make_stage(slow=True)
        viewer = stage.view()
        stage.start(init=b"one")
        for _ in range(3):
            stage.frame(key=True)
        stage.start(init=b"two")
        viewer.fake.complete()
        assert viewer.numbers == [0]
        stage.frame(key=True)
        assert viewer.numbers == [0, 3]

    def test_raw_viewers_get_init_and_payloads_alone(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        waiting = stage.view(raw=True)
        stage.start(init=b"init")
        stage.frame(key=True)
        late = stage.view(raw=True)
        stage.end()
        assert waiting.fake.received == late.fake.received == [b"init", b"p0"]

    def test_who_joins_after_the_end_gets_no_old_picture(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        stage.view()
        stage.start()
        stage.frame(key=True)
        stage.end(Ended.DIED)
        late = stage.view()
        assert late.kinds == ["ended"]
        stage.start(epoch=2)
        stage.frame(key=True)
        assert late.kinds == ["ended", "live", "hello", "frame"]

    def test_who_is_behind_at_the_end_still_gets_the_last_frames(
        self, make_stage: MakeStage
    ) -> None:
        stage = make_stage(slow=True)
        viewer = stage.view()
        stage.start()
        for number in range(4):
            stage.frame(key=number == 0)
        stage.end()
        for _ in range(4):
            viewer.fake.complete()
        assert viewer.numbers == [0, 1, 2, 3]
        assert viewer.kinds == ["ended", "live", "hello", *["frame"] * 4, "ended"]

    def test_who_cannot_take_the_last_frames_is_told_at_once(self, make_stage: MakeStage) -> None:
        stage = make_stage(slow=True)
        hides, stuck = stage.view(), stage.view()
        stage.start()
        stage.frame(key=True)
        stage.frame()
        stage.end()
        assert hides.kinds[-1] == stuck.kinds[-1] == "frame"
        stage.hub.pause(hides)
        stage.hub.decoder_needs_key(stuck)
        stuck.fake.complete()
        assert hides.kinds[-1] == stuck.kinds[-1] == "ended"

    def test_a_new_publisher_while_the_last_frames_are_due(self, make_stage: MakeStage) -> None:
        stage = make_stage(slow=True)
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.frame()
        stage.end()
        stage.start(epoch=2)
        stage.frame(key=True)
        viewer.fake.complete()
        assert viewer.kinds == ["ended", "live", "hello", "frame", "live", "hello", "frame"]

    def test_who_shows_itself_after_the_end_gets_no_old_picture(
        self, make_stage: MakeStage
    ) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.frame(key=True)
        stage.hub.pause(viewer)
        stage.end()
        stage.hub.resume(viewer)
        assert viewer.kinds[-1] == "ended"

    def test_a_late_viewer_asks_for_a_key_frame_now_and_then(self, make_stage: MakeStage) -> None:
        stage = make_stage(slow=True, max_lag=-1.0)
        viewer = stage.view()
        stage.start()
        for number in range(4):
            stage.frame(key=number == 0)
        viewer.fake.complete()
        assert viewer.numbers == [0, 1]
        for tenth in range(40):
            stage.hub.tick(1e6 + tenth / 10)
        assert stage.subscription.keys_wanted == 1 + 2

    def test_a_silent_publisher_is_looked_at(self, make_stage: MakeStage) -> None:
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.hub.tick(1e9)
        assert viewer.kinds[-1] == "hello"
        stage.subscription.dead = True
        stage.hub.tick(2e9)
        assert viewer.kinds[-1] == "ended"

    def test_a_record_that_nobody_rang_for_is_found(self, make_stage: MakeStage) -> None:
        """Its writer was killed in between."""
        stage = make_stage()
        viewer = stage.view()
        stage.start()
        stage.subscription.events.append(stage.record(key=True))
        stage.subscription.dead = True
        stage.hub.tick(1e9)
        assert viewer.kinds[-2:] == ["frame", "ended"]

    def test_a_broken_segment_is_logged_once(
        self, make_stage: MakeStage, caplog: pytest.LogCaptureFixture
    ) -> None:
        stage = make_stage()
        stage.view()

        def broken() -> None:
            raise SegmentInvalid("cam", "it is truncated")

        stage.subscription.poll = broken  # type: ignore[method-assign]
        for _ in range(3):
            stage.hub.pump()
        assert len(caplog.records) == 1
        assert "it is truncated" in caplog.text


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


WEIGHTS = {
    "key": 3,
    "delta": 8,
    "lost delta": 1,
    "lost key": 1,
    "complete": 8,
    "pause": 1,
    "resume": 2,
    "need key": 1,
    "join": 1,
    "init": 1,
    "end": 1,
    "publisher": 1,
}
ACTIONS = st.sampled_from([action for action, weight in WEIGHTS.items() for _ in range(weight)])
RESUMED = "resumed"


def check(viewer: FakeViewer) -> None:
    """Every delta frame follows its predecessor, everything follows a hello, in order."""
    previous: int | None = None
    described = False
    for message in viewer.fake.received:
        if isinstance(message, Frame):
            assert described, "a frame before its hello"
            if not message.key:
                assert previous == message.seq - 1, "a delta frame without its predecessor"
            assert previous is None or message.seq > previous, "a frame twice"
            previous = message.seq
        elif message == {"type": RESUMED}:
            # Its decoder is new: the newest key frame may be one that it has seen.
            previous = None
        elif isinstance(message, dict) and message["type"] in ("hello", "ended"):
            described, previous = message["type"] == "hello", None


@given(
    actions=st.lists(st.tuples(ACTIONS, st.integers(0, 3)), min_size=20, max_size=150),
    slow=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_viewer_ever_gets_a_delta_frame_without_its_predecessor(
    actions: list[tuple[str, int]], slow: bool
) -> None:
    """The hub's invariant, under everything that can happen in any order."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        stage = Stage(monkeypatch, slow=slow)
        viewers = [stage.view()]
        stage.start(epoch := 1)
        live = True
        hidden: dict[FakeViewer, int] = {}
        for action, which in actions:
            viewer = viewers[which % len(viewers)]
            match action:
                case "key" | "delta" | "lost delta" | "lost key" | "init" if not live:
                    pass
                case "key" | "delta":
                    stage.frame(key=action == "key")
                case "lost delta" | "lost key":
                    stage.frame(key=action == "lost key", lost=2)
                case "complete":
                    viewer.fake.complete()
                case "pause":
                    stage.hub.pause(viewer)
                    hidden.setdefault(viewer, len(viewer.frames))
                case "resume":
                    if hidden.pop(viewer, None) is not None:
                        viewer.fake.received.append({"type": RESUMED})
                    stage.hub.resume(viewer)
                case "need key":
                    stage.hub.decoder_needs_key(viewer)
                case "join":
                    viewers.append(stage.view())
                case "init":
                    stage.start(epoch, init=b"%d" % stage.seq)
                case "end":
                    stage.end()
                    live = False
                case "publisher":
                    live = True
                    stage.start(epoch := epoch + 1)
            for watching, frames in hidden.items():
                assert len(watching.frames) == frames, "a frame for a hidden viewer"
        # Whoever is not hidden goes on with the next key frame, once it is there.
        for viewer in viewers:
            while not viewer.channel.idle:
                viewer.fake.complete()
        stage.start(epoch + 1)
        key = stage.frame(key=True)
        for viewer in viewers:
            check(viewer)
            assert (viewer in hidden) != (viewer.numbers[-1:] == [key])


def test_one_ring_is_enough_when_a_dead_publishers_segment_was_replaced(
    make_stage: MakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The news of the old segment's end and of the new segment may come as one."""
    stage = make_stage()
    viewer = stage.view()
    stage.start()
    stage.end(Ended.DIED)
    subscription = stage.subscription

    def leave() -> None:
        subscription.attached = False
        monkeypatch.delattr(subscription, "poll")

    def attach() -> bool:
        subscription.attached = True
        subscription.events.append(Started(Metadata("vp8", epoch=2)))
        return True

    monkeypatch.setattr(subscription, "poll", leave)
    monkeypatch.setattr(subscription, "try_attach", attach)
    stage.hub.pump()
    assert viewer.kinds[-2:] == ["live", "hello"]


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
