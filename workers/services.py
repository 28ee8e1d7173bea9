"""What sessions share in one worker: its hubs, its statistics, its limits."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from websockets.frames import CloseCode

from bus.directory import DIRECTORY_TOKEN, Directory
from bus.doorbell import Doorbell
from bus.layout import TOKENS
from workers.engines.interface import Engine
from workers.errors import PeerError
from workers.fanout import Fanout
from workers.hub import Hub, HubViewer
from workers.ports import Action
from workers.settings import Limits, ViewerSettings
from workers.table import Column, WorkerRow
from workers.viewer_table import ViewerTable

__all__ = ["StreamServices"]

_TOKEN_LIMIT: Final = TOKENS - 2
"""The last two are those of the directory and of the gate; 0 is nobody's."""
_LINGER: Final = 2.0
"""Seconds that a stream which nobody watches any more stays open: mapping it and reading its
ring again costs more than all else about a viewer, and who reloads a page is back at once."""


class RemotePublisher(Protocol):
    """What a worker does with a publisher that sends to it."""

    stream: str

    def tick(self) -> None: ...
    def stop(self, reason: str) -> None: ...


class Watcher(HubViewer, Protocol):
    """What a worker does with a viewer."""

    def kick(self, reason: str) -> None: ...


class StreamServices:
    """A worker's streams.

    Attributes:
        instance: instance name.
        row: the worker's statistics.
        limits: what it accepts from strangers.
        settings: how it treats viewers.
        ingest: remote publishers that are sending to this worker.
        viewers: everybody who watches through this worker, by number.
    """

    def __init__(
        self,
        instance: str,
        *,
        bell: Doorbell,
        engine: Engine,
        row: WorkerRow,
        limits: Limits,
        settings: ViewerSettings,
    ) -> None:
        self.instance = instance
        self.row = row
        self.limits = limits
        self.settings = settings
        self.ingest: set[RemotePublisher] = set()
        self.viewers: dict[int, Watcher] = {}
        self._viewer_table = ViewerTable(instance, os.getpid(), limits.max_viewers)
        self._bell = bell
        self._engine = engine
        self._fanout = Fanout(engine, row)
        self._loop = asyncio.get_running_loop()
        self._hubs: dict[str, Hub] = {}
        # What a ring with a token asks for.
        self._actions: dict[int, Callable[[], object]] = {DIRECTORY_TOKEN: self._look_for_streams}
        # When the last viewer left; there may be new ones since.
        self._unwatched: dict[Hub, float] = {}
        self._next_token = 1
        self._directory = Directory(instance)
        self._news = self._directory.listen(bell)

    def check_room(self, action: Action) -> None:
        """Refuse a viewer beyond the limit.

        Raises:
            PeerError: when the worker is full.
        """
        if action is Action.VIEW and self.row[Column.VIEWERS] >= self.limits.max_viewers:
            raise PeerError(
                CloseCode.TRY_AGAIN_LATER,
                f"this worker is full: {self.limits.max_viewers} viewers",
                Column.REFUSED_LIMIT,
            )
        if len(self._hubs) >= _TOKEN_LIMIT - 1:
            self._close_unwatched(time.monotonic())
        if len(self._hubs) >= _TOKEN_LIMIT - 1:
            raise PeerError(
                CloseCode.TRY_AGAIN_LATER,
                "this worker reads too many streams",
                Column.REFUSED_LIMIT,
            )

    def join(self, stream: str, viewer: Watcher, number: int, address: str, head: bytes) -> Hub:
        """The stream's hub, with ``viewer`` in it, who is sent ``head`` before all else."""
        hub = self._hubs.get(stream)
        if hub is None:
            hub = self._open_hub(stream)
        viewer.entry = self._viewer_table.join(number, stream, address)
        self.viewers[number] = viewer
        self.row.add(Column.VIEWERS)
        hub.add(viewer, head)
        return hub

    def _open_hub(self, stream: str) -> Hub:
        while self._next_token in self._actions or self._next_token == 0:
            self._next_token = (self._next_token + 1) % _TOKEN_LIMIT
        token = self._next_token
        self._next_token = (token + 1) % _TOKEN_LIMIT
        hub = Hub(
            self.instance,
            stream,
            token,
            bell=self._bell,
            engine=self._engine,
            fanout=self._fanout,
            settings=self.settings,
            row=self.row,
            call_soon=self._loop.call_soon,
        )
        self._hubs[stream] = hub
        self._actions[token] = hub.pump
        return hub

    def leave(self, hub: Hub, viewer: Watcher, number: int) -> None:
        """Take a viewer out; a hub that stays without viewers is closed in a while."""
        self.row.add(Column.VIEWERS, -1)
        del self.viewers[number]
        hub.remove(viewer)
        self._viewer_table.leave(viewer.entry)
        if not hub.viewers:
            self._unwatched[hub] = time.monotonic()

    def _close_unwatched(self, left_before: float) -> None:
        """Close the hubs that nobody has watched since."""
        for hub, left in list(self._unwatched.items()):
            if hub.viewers:
                del self._unwatched[hub]
            elif left <= left_before:
                del self._unwatched[hub], self._hubs[hub.stream], self._actions[hub.token]
                hub.close()

    def kick(self, number: int, reason: str) -> None:
        """Close a viewer, if it has not left meanwhile."""
        if number in self.viewers:
            self.viewers[number].kick(reason)

    def stop_stream(self, stream: str, reason: str) -> None:
        """Close a stream's publisher, if it sends to this worker."""
        for publisher in [each for each in self.ingest if each.stream == stream]:
            publisher.stop(reason)

    def on_ring(self, token: int, action: Callable[[], object]) -> None:
        """Let the doorbell mean something that is no stream."""
        self._actions[token] = action

    def rung(self, tokens: Iterable[int]) -> None:
        """The doorbell rang with these tokens."""
        self._fanout.gather()
        try:
            for token in tokens:
                action = self._actions.get(token)
                if action is not None:
                    action()
        finally:
            self._fanout.finish()

    def _look_for_streams(self) -> None:
        # Some may have been looked at just now, and will be once more.
        self._fanout.flush()
        for hub in list(self._hubs.values()):
            hub.pump()
        self._fanout.flush()

    def tick(self) -> None:
        """Called a few times a second."""
        now = time.monotonic()
        if self._unwatched:
            self._close_unwatched(now - _LINGER)
        for hub in list(self._hubs.values()):
            hub.tick(now)
        for publisher in list(self.ingest):
            publisher.tick()

    def close(self) -> None:
        """Let go of everything; no viewer is left."""
        for hub in self._hubs.values():
            hub.close()
        self._hubs.clear()
        self._actions.clear()
        self._viewer_table.close()
        self._directory.readers.release(self._news)
        self._directory.remove_if_unused()
        self._directory.close()
