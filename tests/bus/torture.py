"""What the children of `test_ring_torture` do: ``python -m tests.bus.torture ROLE …``.

Frames carry the epoch and number of their writer and a piece of a fixed noise, so that a
reader can tell each byte that it should have been given.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import time
from collections.abc import Callable
from typing import Final

from bus import Publisher, Subscriber
from bus.stream import inspect_stream

__all__ = ["CAPACITY", "FRAMES", "REPORT_EVERY"]

CAPACITY: Final = 1 << 17
# Under Wine every wake-up goes through one server process.
FRAMES: Final = 60_000 if sys.platform == "win32" else 1_000_000
REPORT_EVERY: Final = FRAMES // 200
"""Frames between two signs of life."""

_HEADER: Final = struct.Struct("<QQI")
_NOISE: Final = random.Random(1).randbytes(1 << 17)
_PATIENCE: Final = 60.0


def _noise(seq: int) -> bytes:
    """Mostly small, now and then as large as half of what the ring takes."""
    size = seq * 2654435761 & 0x3FF
    if seq % 97 == 0:
        size = seq * 40503 & 0x3FFF
    start = seq * 7919 & 0xFFFF
    return _NOISE[start : start + size]


def write(instance: str, total: str) -> None:
    """Publish until the stream has had so many frames, then wait for leave to end it."""
    with Publisher("cam", codec="test", instance=instance, capacity=CAPACITY) as publisher:
        before = inspect_stream(instance, "cam").frames
        print("writing", flush=True)
        for seq in range(int(total) - before):
            noise = _noise(seq)
            publisher.write(_HEADER.pack(publisher.epoch, seq, len(noise)) + noise, key=True)
            if seq % REPORT_EVERY == 0:
                print("wrote", flush=True)
            if seq // REPORT_EVERY % 2:
                # In every other stretch readers can nearly keep up, and sleep.
                time.sleep(0)
        print("done", flush=True)
        sys.stdin.readline()


def read(instance: str) -> None:
    """Read and check everything; report at the stream's end."""
    frames = epochs = jumps = 0
    last_epoch, last_seq, last_lost = 0, -1, 0
    with Subscriber("cam", instance=instance, timeout=_PATIENCE) as subscriber:
        print("reading", flush=True)
        for frame in subscriber:
            epoch, seq, size = _HEADER.unpack_from(frame.payload)
            noise = _noise(seq)
            assert (seq, size) == (frame.seq, len(noise)), "a header of another frame"
            assert frame.payload[_HEADER.size :] == noise, "torn"
            assert subscriber.metadata is not None
            assert epoch == subscriber.metadata.epoch, "frames of an epoch that was not told"
            lost = subscriber.lost - last_lost
            if epoch == last_epoch:
                assert seq - last_seq - 1 == lost, f"{lost} lost between {last_seq} and {seq}"
            elif last_epoch:
                assert epoch > last_epoch, "an old epoch again"
                assert lost >= seq, f"{lost} lost before {seq} of a new epoch"
            jumps += lost > 0
            epochs += epoch != last_epoch
            last_epoch, last_seq, last_lost = epoch, seq, subscriber.lost
            frames += 1
            if frames % REPORT_EVERY == 0:
                print("read", flush=True)
        corrupt = subscriber._subscription.corrupt
        report = {"frames": frames, "epochs": epochs, "lost": subscriber.lost}
    print(json.dumps(report | {"jumps": jumps, "corrupt": corrupt}), flush=True)


if __name__ == "__main__":
    roles: dict[str, Callable[..., None]] = {"write": write, "read": read}
    roles[sys.argv[1]](*sys.argv[2:])
