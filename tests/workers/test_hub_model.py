"""A hub on fakes, under everything that can happen in any order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.frame import Frame
from tests.workers.hub_fakes import FakeViewer, Stage

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
    "lap": 1,
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
                case "key" | "delta" if which == 0:
                    # Comes together with what happens next.
                    stage.subscription.events.append(stage.record(key=action == "key"))
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
                case "lap":
                    stage.subscription.ring.clear()
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
        stage.happen()
        for viewer in viewers:
            while not viewer.channel.idle:
                viewer.fake.complete()
        stage.start(epoch + 1)
        key = stage.frame(key=True)
        for viewer in viewers:
            check(viewer)
            assert (viewer in hidden) != (viewer.numbers[-1:] == [key])
