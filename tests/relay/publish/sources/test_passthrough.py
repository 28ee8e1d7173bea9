"""Passing through: every packet arrives, starts where it should, and decodes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.media import CLIP_CODEC, CLIP_FRAMES, clip_path, make_video, remux
from tests.relay.publish.decoding import decode
from tests.relay.publish.jpegs import without_huffman_tables
from tests.relay.publish.sources.media import FeedRun, publish


class TestClip:
    def test_all_packets_of_the_clip(self) -> None:
        frames = publish(clip_path())
        assert len(frames) == CLIP_FRAMES
        assert [frame.key for frame in frames] == [True] + [False] * (CLIP_FRAMES - 1)

    def test_description(self) -> None:
        (frame,) = publish(clip_path(), count=1)
        assert frame.info.codec == CLIP_CODEC
        assert (frame.info.width, frame.info.height, frame.info.fps) == (1280, 720, 25.0)
        assert frame.info.init[:4] == b"\x01\x4d\x40\x1f"

    def test_payloads_are_the_packets(self) -> None:
        with av.open(str(clip_path())) as container:
            packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        assert [frame.payload for frame in publish(clip_path())] == packets

    def test_it_decodes(self) -> None:
        assert len(decode(publish(clip_path(), count=20))) == 20


class TestAnnexB:
    @pytest.mark.parametrize("name", ["clip.ts", "clip.h264"])
    def test_a_remuxed_clip_decodes_without_init_data(self, tmp_path: Path, name: str) -> None:
        frames = publish(remux(clip_path(), tmp_path / name))
        info = frames[0].info
        assert (info.codec, info.init, info.width, info.height) == (CLIP_CODEC, b"", 1280, 720)
        assert len(frames) == CLIP_FRAMES
        assert frames[0].payload.startswith((b"\0\0\0\1", b"\0\0\1"))
        assert len(decode(frames[:20])) == 20

    def test_parameter_sets_are_in_band_at_every_key_frame(self, tmp_path: Path) -> None:
        movie = make_video(tmp_path / "a.mp4", "libx264", options={"g": "5"})
        frames = publish(remux(movie, tmp_path / "a.ts"))
        keys = [index for index, frame in enumerate(frames) if frame.key]
        assert len(keys) > 2
        for index in keys:
            assert decode(frames[index : index + 1])

    def test_raw_h264_has_even_time_stamps(self, tmp_path: Path) -> None:
        frames = publish(remux(clip_path(), tmp_path / "clip.h264"), count=4)
        assert [frame.pts_us for frame in frames] == [0, 40_000, 80_000, 120_000]


class TestBFrames:
    def test_decode_order_is_kept_and_presentation_times_are_the_sources(
        self, tmp_path: Path
    ) -> None:
        frames = publish(make_video(tmp_path / "b.mp4", "libx264", options={"bf": "3", "g": "15"}))
        times = [frame.pts_us for frame in frames]
        assert times != sorted(times)
        assert sorted(times) == [number * 40_000 for number in range(30)]
        assert [picture.pts for picture in decode(frames)] == sorted(times)

    def test_they_survive_a_transport_stream(self, tmp_path: Path) -> None:
        movie = make_video(tmp_path / "b.mp4", "libx264", options={"bf": "3", "g": "15"})
        frames = publish(remux(movie, tmp_path / "b.ts"))
        assert len(decode(frames)) == 30


@pytest.mark.parametrize(
    ("name", "encoder", "codec"),
    [
        ("a.webm", "libvpx", "vp8"),
        ("b.webm", "libvpx-vp9", "vp09.00.20.08"),
        ("c.mp4", "libsvtav1", "av01.0.00M.08"),
        ("c.mkv", "libsvtav1", "av01.0.00M.08"),
    ],
)
def test_other_codecs_pass_through(tmp_path: Path, name: str, encoder: str, codec: str) -> None:
    if encoder not in av.codecs_available:
        pytest.skip(f"optional: this PyAV has no encoder {encoder}")
    frames = publish(make_video(tmp_path / name, encoder))
    assert frames[0].info.codec == codec
    assert (frames[0].key, frames[0].info.init) == (True, b"")
    assert len(decode(frames)) == 30


class TestMotionJpeg:
    def make(self, path: Path) -> Path:
        return make_video(path, "mjpeg", pix_fmt="yuvj420p", options={"huffman": "default"})

    def test_each_frame_is_a_key_frame(self, tmp_path: Path) -> None:
        frames = publish(self.make(tmp_path / "a.avi"))
        assert {frame.info.codec for frame in frames} == {"mjpeg"}
        assert all(frame.key for frame in frames)
        assert len(decode(frames)) == 30

    def test_missing_huffman_tables_are_put_in(self, tmp_path: Path) -> None:
        whole = self.make(tmp_path / "a.mkv")
        bare = tmp_path / "b.mkv"
        with av.open(str(whole)) as source, av.open(str(bare), "w") as target:
            copy = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    made = av.Packet(without_huffman_tables(bytes(packet)))
                    made.pts = made.dts = packet.pts
                    made.time_base, made.stream = packet.time_base, copy
                    target.mux(made)
        frames = publish(bare)
        assert all(b"\xff\xc4" in frame.payload for frame in frames)
        for ours, original in zip(decode(frames), decode(publish(whole)), strict=True):
            np.testing.assert_array_equal(ours.to_ndarray(), original.to_ndarray())


def test_a_stream_without_idr_is_encoded_after_all(tmp_path: Path) -> None:
    """Recovery points instead of IDR pictures: FFmpeg starts there, browsers do not."""
    open_gop = {"x264-params": "open-gop=1:keyint=10:bframes=2"}
    path = make_video(tmp_path / "a.h264", "libx264", frames=60, options=open_gop)
    data = path.read_bytes()
    # Cut the only IDR picture away, as tuning in to a broadcast does.
    second = data.index(b"\0\0\1\x65") + 4
    cut = tmp_path / "b.h264"
    begin = data.index(b"\0\0\0\1\x67", second)
    cut.write_bytes(data[begin:])
    run = FeedRun(cut)
    frames = list(run.frames())
    assert any("encoded again" in notice for notice in run.notices)
    key = next(index for index, frame in enumerate(frames) if frame.key)
    assert len(decode(frames[key:])) > 20
