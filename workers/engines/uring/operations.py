"""Submission entries, and the tags that say whose completion one is. Pure.

A tag is a slot and its generation: a slot is used again only after its last operation has
completed, and then under another generation, so no completion reaches the wrong channel.
"""

from __future__ import annotations

from typing import Any, Final

from workers.engines.uring import abi

__all__ = ["PIECE", "cancel_entry", "pack_tag", "send_entry", "send_now_entry", "slot_of"]

PIECE: Final = 512 << 10
"""Bytes of one `send_entry`: the kernel gives a send that it had to resume 128 times to a thread
of its own, and a thread for each slow viewer is what a ring is to avoid."""
_SLOT_MASK: Final = 0xFFFF_FFFF
_IGNORED: Final = (1 << 64) - 1
"""Tag of an operation whose completion says nothing: a cancellation."""


def pack_tag(slot: int, generation: int) -> int:
    """The ``user_data`` of a channel's operations."""
    return (generation & 0x7FFF_FFFF) << 32 | slot


def slot_of(tag: int) -> int:
    """The slot that a tag names."""
    return tag & _SLOT_MASK


def send_now_entry(tag: int, fd: int) -> tuple[Any, ...]:
    """SEND of bytes, yet to be named, that ends within the call that submits it.

    It has a completion only if less than all is out, and then says how much, or why not: with
    DONTWAIT it is not resumed, and under WAITALL a short send counts as failed.
    """
    flags = abi.MSG_DONTWAIT | abi.MSG_WAITALL | abi.MSG_NOSIGNAL
    return (abi.SEND, abi.CQE_SKIP_SUCCESS, 0, fd, 0, 0, 0, flags, tag, 0, 0, 0, 0, 0)


def send_entry(tag: int, fd: int, address: int, length: int) -> tuple[Any, ...]:
    """SEND of bytes to a socket, whole unless the peer is gone."""
    flags = abi.MSG_WAITALL | abi.MSG_NOSIGNAL
    return (abi.SEND, 0, 0, fd, 0, address, length, flags, tag, 0, 0, 0, 0, 0)


def cancel_entry(tag: int) -> tuple[Any, ...]:
    """Call back the operation of that tag."""
    return (abi.ASYNC_CANCEL, 0, 0, -1, 0, tag, 0, 0, _IGNORED, 0, 0, 0, 0, 0)
