"""The command as users meet it: help, errors in one line, signals, real streams."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import psutil
import pytest

from bus import Publisher, Subscriber
from bus.frame import Frame
from relay.cli.publish import main
from relay.publish.model import MediaFrame, StreamInfo
from relay.publish.pattern import read_frame_number
from tests.media import CLIP_CODEC, clip_path, make_video
from tests.platforms import WINDOWS, posix_only
from tests.relay.publish.decoding import decode, luma
from tests.relay.publish.relay_server import RelayServer

COMMAND = [sys.executable, "-m", "relay.publish"]
TERMINATED = 1 if WINDOWS else 0
"""Exit status; on Windows nobody is asked."""


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Run in this process; the exit status and the error output."""
    try:
        status = main(argv)
    except SystemExit as exc:
        status = int(exc.code or 0)
    return status, capsys.readouterr().err


@contextmanager
def started(*argv: str) -> Iterator[subprocess.Popen[str]]:
    """Run as a process of its own."""
    process = subprocess.Popen([*COMMAND, *argv], stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.terminate()  # and not kill: it has shared memory to remove


class TestErrors:
    @pytest.mark.parametrize(
        ("argv", "status", "words"),
        [
            ([], 2, "SOURCE"),
            (["demo"], 2, "--stream"),
            (["demo", "--stream", "../etc"], 2, "invalid stream name '../etc'"),
            (["demo", "--stream", "a", "--instance", "x y"], 2, "invalid instance name 'x y'"),
            (["demo", "--stream", "a", "--to", "http://h:1"], 2, "write ws://h:1"),
            (["demo", "--stream", "a", "--to", "h:1"], 2, "write it as ws://host:port"),
            (["demo", "--stream", "a", "--to", "ws://h", "--instance", "b"], 2, "not allowed with"),
            (["demo", "--stream", "a", "--size", "big"], 2, "'big' is not a size"),
            (["demo", "--stream", "a", "--fps", "0"], 2, "'0' is not a frame rate"),
            (["demo", "--stream", "a", "--bitrate", "x"], 2, "'x' is not a bitrate"),
            (["demo", "--stream", "a", "--frames", "0"], 2, "not a positive number"),
            (["demo", "--stream", "a", "--codec", "h266"], 2, "invalid choice: 'h266'"),
            (["demo", "--stream", "a", "--token-file", "nowhere"], 2, "cannot read the token"),
            (["demo", "--stream", "a", "--tok", "x"], 2, "unrecognized"),
            (["nowhere.mp4", "--stream", "a"], 1, "no file 'nowhere.mp4'"),
            (["gopher2://x/y", "--stream", "a"], 1, "no such kind of URL"),
            pytest.param(["screen", "--stream", "a"], 1, "$DISPLAY is not set", marks=posix_only),
            pytest.param(
                ["camera:4242", "--stream", "a"], 1, "there is no /dev/video4242", marks=posix_only
            ),
            pytest.param(["/", "--stream", "a"], 1, "is a folder", marks=posix_only),
            pytest.param(["/dev/null", "--stream", "a"], 1, "/dev/null", marks=posix_only),
        ],
    )
    def test_one_line_with_the_remedy(
        self,
        argv: list[str],
        status: int,
        words: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        instance: str,
    ) -> None:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.setenv("RELAY_INSTANCE", instance)
        got, text = run(capsys, *argv, *(["--quiet"] if argv else []))
        assert got == status
        words = words.replace("/dev/null", "null")
        assert words in text
        assert text.startswith("relay-publish: ")
        assert text.count("\n") == 1

    def test_a_busy_stream(self, capsys: pytest.CaptureFixture[str], instance: str) -> None:
        with Publisher("cam", codec="vp8", instance=instance):
            status, text = run(capsys, "demo", "--stream", "cam", "--instance", instance, "--quiet")
        assert status == 1
        assert f"being published by pid {os.getpid()}" in text
        assert text.count("\n") == 1

    def test_without_pyav(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in sys.modules if name.startswith("relay.publish.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "av", None)
        monkeypatch.setitem(sys.modules, "av.logging", None)
        status, text = run(capsys, "demo", "--stream", "a")
        assert status == 1
        assert "pip install 'live-frame-relay[publish]'" in text
        assert text.count("\n") == 1

    def test_help_has_examples(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["--help"])
        assert caught.value.code == 0
        out = capsys.readouterr().out
        assert "Examples:" in out
        assert "--takeover" in out
        assert max(map(len, out.splitlines())) <= 100


class TestStreams:
    def test_demo(self, capsys: pytest.CaptureFixture[str], instance: str) -> None:
        status, text = run(
            capsys, "demo", "--stream", "demo", "--instance", instance, "--frames", "3"
        )
        assert status == 0
        assert "demo: 3 frames (1280x720 h264)" in text

    def test_a_subscriber_sees_the_pattern(self, instance: str) -> None:
        size = ["--size", "640x360"]
        with (
            started("demo", "--stream", "demo", "--instance", instance, *size),
            Subscriber("demo", instance=instance, timeout=60) as reader,
        ):
            got = list(islice(reader, 10))
            metadata = reader.metadata
        assert metadata is not None
        assert (metadata.width, metadata.height, metadata.fps) == (640, 360, 30.0)
        info = StreamInfo(metadata.codec)
        frames = [MediaFrame(info, each.payload, each.key, each.pts_us, 0) for each in got]
        numbers = [read_frame_number(luma(shown)) for shown in decode(frames)]
        first = numbers[0]
        assert first is not None
        assert numbers == list(range(first, first + 10))

    def test_a_clip_passes_through(self, instance: str) -> None:
        clip = str(clip_path())
        with (
            Subscriber("clip", instance=instance, timeout=60) as reader,
            started(clip, "--stream", "clip", "--loop", "--instance", instance) as process,
        ):
            frames = list(islice(reader, 5))
            assert reader.metadata is not None
            assert reader.metadata.codec == CLIP_CODEC
            process.terminate()
            assert process.wait() == TERMINATED
        assert [frame.key for frame in frames] == [True, False, False, False, False]

    def test_a_file_ends_with_status_0(
        self, capsys: pytest.CaptureFixture[str], instance: str, tmp_path: Path
    ) -> None:
        path = make_video(tmp_path / "a.mp4", "libx264", frames=5)
        status, text = run(capsys, str(path), "--stream", "a", "--instance", instance)
        assert status == 0
        assert "a: 5 frames (320x240 h264)" in text


class TestRemote:
    def test_a_file_goes_to_a_relay_elsewhere(self, tmp_path: Path) -> None:
        """Every frame arrives, in order; then the stream is said to have ended."""
        path = make_video(tmp_path / "a.mp4", "libx264", frames=20)
        got = asyncio.run(self.publish(str(path)))
        assert got[0]["codec"].startswith("avc1.")  # type: ignore[index]
        assert [each.seq for each in got[1:-1]] == list(range(20))  # type: ignore[union-attr]
        assert got[-1] == {"type": "ended"}

    async def publish(self, path: str) -> list[dict[str, Any] | Frame]:
        async with RelayServer() as relay:
            to = relay.url.removesuffix("/publish/cam")
            process = await asyncio.create_subprocess_exec(
                *COMMAND, path, "--stream", "cam", "--to", to, stderr=asyncio.subprocess.PIPE
            )
            guest = await relay.accept()
            got: list[dict[str, Any] | Frame] = [await guest.welcome()]
            while got[-1] != {"type": "ended"}:
                got.append(await guest.receive())
            _, text = await process.communicate()
            assert process.returncode == 0
            assert b"a.mp4" not in text
            assert b"20 frames (320x240 h264)" in text
            return got

    def test_a_refusal_is_one_line(self) -> None:
        status, text = asyncio.run(self.refuse())
        assert status == 1
        assert text.count("\n") == 1
        assert "wrong token" in text

    async def refuse(self) -> tuple[int | None, str]:
        async with RelayServer() as relay:
            to = relay.url.removesuffix("/publish/cam")
            process = await asyncio.create_subprocess_exec(
                *(*COMMAND, "demo", "--stream", "cam", "--to", to, "--quiet"),
                stderr=asyncio.subprocess.PIPE,
            )
            guest = await relay.accept()
            await guest.socket.close(1008, "wrong token")
            _, text = await process.communicate()
            return process.returncode, text.decode()


@posix_only
class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_cleanly(self, number: signal.Signals, instance: str) -> None:
        with (
            Subscriber("demo", instance=instance, timeout=60) as reader,
            started("demo", "--stream", "demo", "--instance", instance) as process,
        ):
            assert reader.read() is not None
            process.send_signal(number)
            _, text = process.communicate()
            assert process.returncode == 0
            assert "demo: " in text
            assert "frames (1280x720 h264)" in text
            assert "Traceback" not in text
            list(reader)  # the stream has ended: iterating does too

    def test_a_signal_while_the_relay_is_away(self) -> None:
        with started("demo", "--stream", "a", "--to", "ws://127.0.0.1:9") as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert "connection refused; trying again" in line
            process.send_signal(signal.SIGINT)
            process.communicate()
            assert process.returncode == 0


def test_it_ends_with_its_parent(instance: str) -> None:
    """A parent that is killed leaves no publisher behind."""
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    argv = [*COMMAND, "demo", "--stream", "demo", "--quiet", "--exit-with-parent"]
    with (
        Subscriber("demo", instance=instance, timeout=60) as reader,
        subprocess.Popen(
            [sys.executable, "-c", program, *argv, "--instance", instance],
            stdout=subprocess.PIPE,
            text=True,
        ) as parent,
    ):
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert reader.read() is not None
        parent.kill()
        child.wait()
        list(reader)  # it ended its stream, too
