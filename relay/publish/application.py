"""The composition root of `relay-publish`: builds feed and sink, runs them, ends them.

Main thread: an asyncio loop with signals, the status line and the sink's connection. One
daemon thread: the pump (source, decoding, encoding, pacing). FFmpeg may block that thread in
a read that nothing can interrupt; ending the program therefore never waits for it for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import av.logging

from relay.parent import exit_with_parent
from relay.publish.errors import PublishError
from relay.publish.model import Feed, Sink
from relay.publish.options import PublishOptions
from relay.publish.progress import Console, Progress
from relay.publish.pump import pump
from relay.publish.sinks.shm import ShmSink
from relay.publish.sinks.url import is_loopback, publish_url
from relay.publish.sinks.websocket import WebSocketSink
from relay.publish.sources.demo_feed import DemoFeed
from relay.publish.sources.encoder import EncoderSettings
from relay.publish.sources.locations import Kind, locate
from relay.publish.sources.media_feed import MediaFeed, Treatment
from relay.publish.sources.pacer import Pacer
from relay.publish.tally import Tally

__all__ = ["Application"]

_DEFAULT_GOP_S = 2.0
_DEMO_SIZE = (1280, 720)
_DEMO_FPS = 30.0
_PUMP_DEADLINE_S = 2.0


class Application:
    """One run of the publisher.

    Args:
        options: what the user chose; checked already.
        console: where to print.
    """

    def __init__(self, options: PublishOptions, console: Console) -> None:
        self._options = options
        self._console = console
        self._stop = threading.Event()
        self._tally = Tally()
        # FFmpeg's own messages are no sentences for a user.
        av.logging.set_libav_level(av.logging.PANIC)

    async def run(self) -> None:
        """Publish until the source ends, a limit is reached or a signal comes.

        Raises:
            PublishError: why it could not go on.
        """
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[bool] = loop.create_future()
        self._watch_signals(loop)
        feed = self._make_feed()
        sink = self._make_sink()
        progress = Progress(self._options.stream, self._tally, sink, time.monotonic())
        connection = loop.create_task(sink.run())
        connection.add_done_callback(self._connection_ended)
        thread = threading.Thread(
            target=self._pump, args=(loop, feed, sink), name="pump", daemon=True
        )
        thread.start()
        natural = failed = False
        try:
            natural = await self._report(progress)
        except PublishError:
            failed = True
            raise
        finally:
            self._stop.set()
            sink.abort()
            await loop.run_in_executor(None, thread.join, _PUMP_DEADLINE_S)
            await sink.finish(drain=natural)
            connection.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await connection  # its failure has been reported through `_ended`
            if self._tally.frames or not failed:
                self._console.notice(progress.summary(time.monotonic()))

    async def _report(self, progress: Progress) -> bool:
        """Print the status until the end; whether the source came to its end by itself."""
        while True:
            done, _ = await asyncio.wait((self._ended,), timeout=self._console.interval_s)
            if done:
                return self._ended.result()
            self._console.status(progress.line(time.monotonic()))

    def _pump(self, loop: asyncio.AbstractEventLoop, feed: Feed, sink: Sink) -> None:
        options = self._options
        failure: Exception | None = None
        try:
            pump(
                feed,
                sink,
                self._tally,
                self._stop,
                max_frames=options.frames,
                max_us=int(options.duration_s * 1e6) if options.duration_s else None,
            )
        except Exception as exc:
            failure = exc
        with contextlib.suppress(RuntimeError):  # the loop did not wait for us
            loop.call_soon_threadsafe(self._settle, failure, True)

    def _connection_ended(self, connection: asyncio.Task[None]) -> None:
        if not connection.cancelled():
            exc = connection.exception()
            self._settle(exc if isinstance(exc, Exception) else None, False)

    def _settle(self, failure: Exception | None, natural: bool) -> None:
        """The first reason to end counts."""
        if self._ended.done():
            return
        if failure is not None:
            self._ended.set_exception(failure)
        else:
            self._ended.set_result(natural)

    def _watch_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        def stop() -> None:
            self._settle(None, False)

        for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None:
                _on_signal(loop, number, stop)
        if self._options.exit_with_parent:
            exit_with_parent(partial(_call, loop, stop))

    def _make_feed(self) -> Feed:
        options = self._options
        settings = EncoderSettings(options.codec, options.bitrate, options.gop_s or _DEFAULT_GOP_S)
        if options.source == "demo":
            return DemoFeed(
                settings,
                options.stream,
                options.size or _DEMO_SIZE,
                options.fps or _DEMO_FPS,
                Pacer(self._stop.wait),
            )
        location = locate(
            options.source, environment=os.environ, size=options.size, fps=options.fps
        )
        # A packet that passes through cannot be made smaller, rarer or other than it is; a
        # device can be asked for size and rate itself.
        shaped = bool(options.bitrate or options.gop_s)
        if location.kind is not Kind.DEVICE:
            shaped = shaped or bool(options.size or options.fps)
        treatment = Treatment(
            settings, options.encode or shaped, options.size, options.fps, options.loop
        )
        return MediaFeed(location, treatment, self._stop, self._console.notice)

    def _make_sink(self) -> Sink:
        options = self._options
        if options.to is None:
            return ShmSink(
                options.stream, options.instance, takeover=options.takeover, ring=options.ring
            )
        url = publish_url(options.to, options.stream, takeover=options.takeover)
        if options.token is not None and url.startswith("ws:") and not is_loopback(url):
            self._console.notice("the token travels unencrypted over ws://; prefer wss://")
        return WebSocketSink(url, token=options.token, notice=self._console.notice)


def _on_signal(loop: asyncio.AbstractEventLoop, number: int, action: Callable[[], None]) -> None:
    try:
        loop.add_signal_handler(number, action)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: _call(loop, action))


def _call(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(action)
