"""relay-load against servers whose limits and latencies are known, all at the same time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

import pytest

from tests.e2e.loading import LoadProcess
from tests.relay.load.throttled import ThrottledServer

LIMIT: Final = 3

pytestmark = pytest.mark.slow


class Ages:
    """Of frames, drawn from a known distribution; many seconds, beside which the way is short."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._draw = random.Random(3)

    def __call__(self, viewers: int) -> int:
        age = round(self._draw.lognormvariate(16, 0.4))
        if viewers:
            self.seen.append(age)
        return age

    def percentile_ms(self, percent: int) -> float:
        """Of all that anybody saw."""
        return sorted(self.seen)[len(self.seen) * percent // 100] / 1000


@pytest.fixture(scope="module")
def ages() -> Ages:
    return Ages()


@pytest.fixture(scope="module")
def reports(ages: Ages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """By the kind of server."""
    search = ("--find-limit", "--viewers", "2", "--max-viewers", "4", "--duration", "1")
    with ExitStack() as stack:

        def test(server: ThrottledServer, *options: str) -> LoadProcess:
            url = f"ws://localhost:{stack.enter_context(server).port}/view/x"
            folder = tmp_path_factory.mktemp("load")
            return stack.enter_context(LoadProcess(url, folder, "--processes", "1", *options))

        late = ThrottledServer(lambda viewers: 100_000_000 if viewers > LIMIT else 0)
        running = {
            "aged": test(ThrottledServer(ages, fps=100), "--viewers", "5", "--duration", "4"),
            "late": test(late, *search, "--fail-if", "p50>50s"),
            "full": test(ThrottledServer(most=LIMIT), *search, "--fail-if", "refused>0"),
        }
        yield {name: each.finish() for name, each in running.items()}


def test_a_known_latency_comes_back(reports: dict[str, Any], ages: Ages) -> None:
    """The way through loopback and two event loops adds a little."""
    _, report = reports["aged"]
    for percent in (50, 95):
        exact = ages.percentile_ms(percent)
        assert exact * 0.95 < report["metrics"][f"p{percent}"] < exact * 1.15


def test_the_limit_of_a_server_that_gets_slow(reports: dict[str, Any]) -> None:
    """Above so many viewers its frames are old; the search ends just there."""
    code, report = reports["late"]
    limit = report["limit"]
    assert code == 0
    assert limit["complete"]
    assert limit["best"] == LIMIT
    assert [level["viewers"] for level in limit["levels"]] == [2, 4, 3]
    assert [bool(level["broken"]) for level in limit["levels"]] == [False, True, False]


def test_the_limit_of_a_server_that_refuses(reports: dict[str, Any]) -> None:
    """Its own words say what ran out."""
    code, report = reports["full"]
    limit = report["limit"]
    assert code == 0
    # Whom it refused comes back some seconds later.
    assert LIMIT - 1 <= limit["best"] <= LIMIT
    assert "1013 full" in limit["diagnosis"]["resource"]
    assert not limit["diagnosis"]["generator"]
