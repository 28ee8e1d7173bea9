"""Doorbells as events of Windows, each with a table of the tokens that were rung.

A bell is an event and a piece of shared memory with one byte for each token. To ring is to
set the byte and then the event: stores of single bytes need no lock, and an event that is
set already stays so. The reader resets the event first and looks at the bytes afterwards,
so a ring that comes in between rings again.

The loop waits for the event through its completion port. A wait under way is never
cancelled: to stop, the event is set, and the handle is closed when the wait has retired.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections.abc import Callable
from typing import Any, Final

from bus import kernel32, segment_windows
from bus.errors import BusError, SegmentMissing
from bus.fence import full_fence
from bus.layout import TOKENS
from bus.names import bell_object

assert sys.platform == "win32"

__all__ = ["EventDoorbell", "EventRinger", "remove_event"]

_LEFT: Final = TOKENS
"""Index of the byte that the owner sets when it leaves."""
_SIZE: Final = TOKENS + 8
_OWNER_LOCK: Final = 0
# More bells than a reader table has slots: some belong to readers that left.
_OPEN_BELLS: Final = 128


def _event_name(bell: int) -> str:
    return f"Local\\live-frame-relay-bell-{bell:016x}"


def remove_event(instance: str, bell: int) -> None:
    """Remove the bell of a reader that died."""
    with contextlib.suppress(SegmentMissing):
        mapping = segment_windows.attach(bell_object(instance, bell), _SIZE)
        mapping.unlink()
        mapping.close()


class EventDoorbell:
    """The reader's end; makes the event and the table."""

    __slots__ = ("_callback", "_closed", "_event", "_loop", "_mapping", "_wait", "id")

    def __init__(self, instance: str) -> None:
        self.id = secrets.randbits(64) | 1
        self._mapping = segment_windows.create(bell_object(instance, self.id), _SIZE)
        self._mapping.try_lock(_OWNER_LOCK)
        self._event = kernel32.create_event(_event_name(self.id))
        self._mapping.publish()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._callback: Callable[[], object] | None = None
        self._wait: asyncio.Future[Any] | None = None

    def drain(self) -> set[int]:
        """Take all pending rings; the tokens that were rung, possibly none."""
        kernel32.reset_event(self._event)
        table = self._mapping.view
        flags = bytes(table[:TOKENS])
        tokens = set()
        token = flags.find(1)
        while token >= 0:
            table[token] = 0
            tokens.add(token)
            token = flags.find(1, token + 1)
        # SYNC POINT: the flags are cleared before the caller looks at what was rung for; a
        # writer stores that, fences, and then its flag, which the clearing may have undone.
        full_fence()
        return tokens

    def wait(self, timeout: float | None) -> bool:
        """Block until rung, at most ``timeout`` seconds; whether a ring is pending."""
        return kernel32.wait_for(self._event, timeout)

    def attach(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        """Let the loop call ``callback`` whenever a ring is pending, until `detach`."""
        if self._wait is not None and self._wait.get_loop() is not loop:
            # Left over from a loop that was closed in the middle of it.
            self._wait = None
        self._loop, self._callback = loop, callback
        self._arm()

    def _arm(self) -> None:
        if self._callback is not None and self._wait is None:
            assert self._loop is not None
            self._wait = _wait_in_loop(self._loop, self._event)
            self._wait.add_done_callback(self._signalled)

    def _signalled(self, wait: asyncio.Future[Any]) -> None:
        if wait is not self._wait:
            return
        self._wait = None
        if not wait.cancelled():
            # What it says is a hint: the callback looks for itself.
            wait.exception()
        if self._callback is None:
            if self._closed:
                kernel32.close_handle(self._event)
            return
        try:
            self._callback()
        finally:
            # Not at once: whoever was waiting detaches first, if that was all.
            assert self._loop is not None
            self._loop.call_soon(self._arm)

    def detach(self) -> None:
        """End what `attach` began. May be called twice."""
        self._callback = None
        if self._wait is not None:
            kernel32.set_event(self._event)

    def close(self) -> None:
        """Remove the bell. May be called twice."""
        if self._closed:
            return
        self.detach()
        self._closed = True
        self._mapping.view[_LEFT] = 1
        self._mapping.unlink()
        self._mapping.close()
        if self._wait is None or self._wait.get_loop().is_closed():
            kernel32.close_handle(self._event)


def _wait_in_loop(loop: asyncio.AbstractEventLoop, event: int) -> asyncio.Future[Any]:
    """A future of the loop that is done when the event is set."""
    proactor: Any = getattr(loop, "_proactor", None)
    if hasattr(proactor, "wait_for_handle"):
        future: asyncio.Future[Any] = proactor.wait_for_handle(event)
        return future
    # A program's loop of another kind; workers have the Proactor's.
    return loop.run_in_executor(None, kernel32.wait_for, event, None)


class EventRinger:
    """The writer's end; opens each bell once."""

    __slots__ = ("_bells", "_instance")

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._bells: dict[int, tuple[segment_windows.WindowsMapping, int]] = {}

    def ring(self, bell: int, token: int) -> bool:
        """Wake the bell's owner; False when it is known to be gone."""
        found = self._bells.get(bell) or self._open(bell)
        if found is None:
            return False
        mapping, event = found
        if mapping.view[_LEFT]:
            del self._bells[bell]
            _release(found)
            return False
        mapping.view[token] = 1
        return kernel32.set_event(event)

    def _open(self, bell: int) -> tuple[segment_windows.WindowsMapping, int] | None:
        if len(self._bells) >= _OPEN_BELLS:
            self.close()
        try:
            mapping = segment_windows.attach(bell_object(self._instance, bell), _SIZE)
        except BusError:
            return None
        event = kernel32.open_event(_event_name(bell))
        if event is None:
            mapping.close()
            return None
        found = self._bells[bell] = mapping, event
        return found

    def close(self) -> None:
        """Let go of all bells. May be called twice."""
        while self._bells:
            _release(self._bells.popitem()[1])


def _release(bell: tuple[segment_windows.WindowsMapping, int]) -> None:
    mapping, event = bell
    mapping.close()
    kernel32.close_handle(event)
