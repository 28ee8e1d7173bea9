"""The feed of a file or URL: loops, ends, breaks, is opened again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice, pairwise
from pathlib import Path

import pytest

from relay.publish.errors import SourceError
from relay.publish.sources import media_feed
from relay.publish.sources.encoder import EncoderSettings
from relay.publish.sources.media_feed import Treatment
from tests.media import CLIP_FRAMES, clip_path, make_video, remux
from tests.platforms import WINDOWS
from tests.relay.publish.decoding import decode
from tests.relay.publish.sources.media import FeedRun, publish

LOOP = Treatment(EncoderSettings(), loop=True)


class TestLoop:
    def test_a_loop_starts_with_a_key_frame_and_time_goes_on(self) -> None:
        run = FeedRun(clip_path(), LOOP)
        frames = list(islice(run.frames(), 2 * CLIP_FRAMES + 10))
        assert [i for i, frame in enumerate(frames) if frame.key] == [0, 132, 264]
        assert {b.pts_us - a.pts_us for a, b in pairwise(frames)} == {40_000}
        assert len({id(frame.info) for frame in frames}) <= 3
        assert len({frame.info for frame in frames}) == 1

    def test_it_is_paced_in_real_time(self) -> None:
        run = FeedRun(clip_path(), LOOP)
        start = run.clock.now
        list(islice(run.frames(), CLIP_FRAMES + 26))
        assert run.clock.now - start == pytest.approx((CLIP_FRAMES + 25) / 25)

    def test_b_frames_loop_in_decode_order(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "b.mp4", "libx264", options={"bf": "3", "g": "15"})
        frames = list(islice(FeedRun(path, LOOP).frames(), 60))
        assert max(f.pts_us for f in frames[:30]) < min(f.pts_us for f in frames[30:])
        assert [f.payload for f in frames[:30]] == [f.payload for f in frames[30:]]

    def test_an_encoded_loop_keeps_one_encoder(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "a.avi", "mpeg4")
        frames = list(islice(FeedRun(path, LOOP).frames(), 75))
        assert [b.pts_us - a.pts_us for a, b in pairwise(frames)] == [40_000] * 74
        assert len({id(frame.info) for frame in frames}) == 1
        assert len(decode(frames)) == 75


class TestEnd:
    def test_a_file_ends(self, tmp_path: Path) -> None:
        assert len(publish(make_video(tmp_path / "a.mp4", "libx264", frames=7))) == 7

    def test_an_encoded_file_ends_with_its_last_picture(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "a.mp4", "libx264", frames=7, options={"bf": "3"})
        assert len(publish(path, encode=True)) == 7

    def test_a_stop_ends_it(self) -> None:
        run = FeedRun(clip_path(), LOOP)
        frames = run.frames()
        next(frames)
        run.stop.set()
        assert list(frames) == []


class TestErrors:
    def test_no_video(self, tmp_path: Path) -> None:
        import wave

        with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(16000))
        with pytest.raises(SourceError, match=r"'a.wav' has no video stream"):
            publish(tmp_path / "a.wav")

    def test_no_media_at_all(self, tmp_path: Path) -> None:
        (tmp_path / "a.bin").write_text("hello\n" * 100)
        with pytest.raises(SourceError, match="not a video that FFmpeg can read"):
            publish(tmp_path / "a.bin")

    def test_unknown_protocol(self) -> None:
        with pytest.raises(SourceError, match="knows no such kind of URL"):
            publish("gopher2://nowhere/x")

    def test_a_url_that_never_worked_is_an_error(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as probe:
            port = probe.getsockname()[1]
        # FFmpeg has no words for what goes wrong with sockets on Windows.
        why = "" if WINDOWS else "refused"
        with pytest.raises(SourceError, match=rf"cannot open 'tcp://127.0.0.1:{port}'.*{why}"):
            publish(f"tcp://127.0.0.1:{port}")


@contextmanager
def camera(data: bytes) -> Iterator[tuple[str, list[int]]]:
    """A live source on TCP: sends ``data`` to whoever connects, and hangs up."""
    server = socket.create_server(("127.0.0.1", 0))
    visits: list[int] = []
    leaving = threading.Event()

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            if leaving.is_set():
                connection.close()
                return
            visits.append(1)
            with connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)  # until the other side has read all and left

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}", visits
    finally:
        leaving.set()
        # Shutting a listener down wakes nobody on Windows.
        with server, socket.create_connection(server.getsockname()):
            thread.join()


def test_a_live_source_that_breaks_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames go on after a camera hung up: from a key frame, with time going on."""
    monkeypatch.setattr(media_feed, "_REOPEN_FIRST_S", 0.01)
    movie = make_video(tmp_path / "a.mp4", "libx264", options={"g": "10", "bf": "0"})
    data = remux(movie, tmp_path / "a.ts").read_bytes()
    with camera(data) as (url, visits):
        run = FeedRun(url)
        frames = list(islice(run.frames(), 75))
        run.stop.set()
    assert len(visits) >= 3
    assert run.feed.live
    assert any("opening it again" in notice for notice in run.notices)
    assert frames[30].key
    assert all(after.pts_us > before.pts_us for before, after in pairwise(frames))
