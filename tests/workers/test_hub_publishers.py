"""A hub on fakes: what viewers are told and sent when publishers come, go and change."""

from __future__ import annotations

import pytest

from bus.errors import SegmentInvalid
from bus.stream import Metadata
from bus.subscription import Ended, Started
from tests.workers.conftest import MakeStage


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
        if not subscription.attached:
            subscription.attached = True
            subscription.events.append(Started(Metadata("vp8", epoch=2)))
        return True

    monkeypatch.setattr(subscription, "poll", leave)
    monkeypatch.setattr(subscription, "try_attach", attach)
    stage.hub.pump()
    assert viewer.kinds[-2:] == ["live", "hello"]
