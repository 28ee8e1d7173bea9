"""What a search for the limit found, in words."""

from __future__ import annotations

import pytest

from relay.load.diagnosis import Diagnosis
from relay.load.report import limit_line
from relay.load.result import Level, Limit

CPU = Diagnosis("relay CPU")
NETWORK = Diagnosis("network", generator=True)
NOTHING = Diagnosis("")


def level(viewers: int, *broken: str, because: Diagnosis = NOTHING) -> Level:
    return Level(viewers, broken, {}, 0.0, 0.0, 0.0, 0.0, because)


HELD = level(100)


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ([], "no level was measured"),
        ([HELD], "at least 100 viewers: every level held, nothing ran out"),
        ([HELD, level(200, "lost>0", because=CPU)], "100 viewers; at 200 lost>0: relay CPU"),
        (
            [HELD, level(200, "p99>1ms", because=NETWORK)],
            "at least 100 viewers; at 200 p99>1ms: "
            "the relay is not to blame, what ran out: network",
        ),
        (
            [HELD, level(200, "lost>0")],
            "100 viewers; at 200 lost>0: nothing that can be seen from here ran out",
        ),
        # Just above the limit it does not show what ran out.
        (
            [HELD, level(200, "lost>0", because=CPU), level(150, "p99>1ms")],
            "100 viewers; at 150 p99>1ms: relay CPU (at 200)",
        ),
    ],
)
def test_the_limit(levels: list[Level], words: str) -> None:
    best = max((each.viewers for each in levels if not each.broken), default=0)
    assert limit_line(Limit(best, levels, complete=True)) == words


def test_a_relay_that_holds_nobody() -> None:
    found = Limit(0, [level(10, "lost>0", because=CPU)], complete=False)
    words = "not even 10 viewers held: lost>0; relay CPU (the search was ended early)"
    assert limit_line(found) == words
