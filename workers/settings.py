"""A worker's settings, each defined once.

The command line, the environment and the configuration file are derived from these
fields: the name gives the flag, the type the parser, ``help`` the description.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from bus.layout import CAPACITY_DEFAULT, CAPACITY_MIN

__all__ = ["Limits", "ViewerSettings", "option"]

KIB: Final = 1024
MIB: Final = 1024 * KIB


def option(default: Any, help: str, **metadata: Any) -> Any:  # noqa: A002
    """A dataclass field that is a user's option.

    Args:
        default: value when nobody sets it; its type is the option's type.
        help: one line that says what it is, with the unit.
        **metadata: ``choices``, ``minimum``, ``maximum``, ``secret``, and
            ``check``, which raises ValueError for what it does not take.
    """
    return field(default=default, metadata={"help": help, **metadata})


def _check_power_of_two(value: int) -> None:
    if value & (value - 1):
        raise ValueError("must be a power of two")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker accepts from strangers."""

    max_viewers: int = option(
        20_000, "viewers of one worker; more are told to try again", minimum=1
    )
    max_connections_per_address: int = option(
        10_000, "connections of one address to one worker", minimum=1
    )
    max_accepts_per_second: int = option(
        2_000, "new connections of one worker in a second; more wait in the backlog", minimum=1
    )
    header_timeout: float = option(
        10.0, "seconds in which a request's header must be complete", minimum=0.1
    )
    max_publish_message: int = option(
        4 * MIB, "bytes of the largest frame that a remote publisher may send", minimum=1024
    )
    publish_ring: int = option(
        CAPACITY_DEFAULT,
        "bytes of shared memory for each remotely published stream; a power of two "
        "that holds more than one group of pictures",
        minimum=CAPACITY_MIN,
        check=_check_power_of_two,
    )
    max_viewer_message: int = option(
        4 * KIB, "bytes of the largest message that a viewer may send", minimum=128
    )


@dataclass(frozen=True, slots=True)
class ViewerSettings:
    """How a worker treats its viewers."""

    max_lag: float = option(
        1.0, "seconds a viewer may be behind before it skips to a newer key frame", minimum=0.05
    )
    window: int = option(
        16 * MIB,
        "bytes of a stream's recent frames that its viewers may still be sent",
        minimum=64 * KIB,
    )
    progress_timeout: float = option(
        10.0,
        "seconds without any progress after which a stalled viewer is closed "
        "(user_timeout closes it, too)",
        minimum=0.5,
    )
    ping_interval: float = option(
        20.0, "seconds of silence after which a peer is asked whether it is there", minimum=0.5
    )
    ping_timeout: float = option(20.0, "seconds in which it must answer", minimum=0.5)
    close_timeout: float = option(
        5.0, "seconds a peer has to finish the closing handshake", minimum=0.1
    )
    unsent_low_water: int = option(
        128 * KIB, "bytes that may wait unsent in the kernel for one viewer", minimum=4096
    )
    user_timeout: float = option(
        10.0, "seconds that sent data may stay unacknowledged (TCP_USER_TIMEOUT)", minimum=0.5
    )
    drain_timeout: float = option(
        10.0, "seconds that a stopping worker waits for its peers", minimum=0.1
    )
