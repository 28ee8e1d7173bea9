"""What ran out, and never the relay's when it was the generator's."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from relay.load.diagnosis import Diagnosis, diagnose
from relay.load.samples import Generator, Sample


def sample(generator: Generator, *workers: dict[str, Any], gbps: float = 1.0) -> Sample:
    return Sample(1.0, 10, 0, 300.0, gbps, 1.0, 1.0, 1.0, generator, workers, ())


def worker(cpu: float, **more: Any) -> dict[str, Any]:
    return {"slot": 0, "cpu": cpu, **more}


IDLE = Generator(cpu=0.2, busiest=0.2, host_cpu=0.5)


def found(*samples: Sample, local: bool = False, **more: Any) -> Diagnosis:
    return diagnose(samples, more.pop("reasons", {}), local=local, **more)


def test_nothing() -> None:
    assert found(sample(IDLE, worker(0.3))) == Diagnosis("")


def test_relay_cpu() -> None:
    verdict = found(sample(IDLE, worker(0.97)))
    assert not verdict.generator
    assert "worker 0 used 97%" in verdict.resource


@pytest.mark.parametrize(
    ("generator", "word"),
    [
        (Generator(cpu=0.96, busiest=0.96, host_cpu=0.6), "used 96%"),
        (Generator(cpu=0.3, busiest=0.3, lag=0.9), "late by up to 900 ms"),
    ],
)
def test_a_busy_generator_even_beside_a_busy_relay(generator: Generator, word: str) -> None:
    verdict = found(sample(generator, worker(0.99)))
    assert verdict.generator
    assert word in verdict.resource


def test_a_host_that_both_share() -> None:
    busy = sample(Generator(cpu=0.7, busiest=0.7, host_cpu=0.98), worker(0.95))
    assert found(busy, local=True).generator
    assert not found(busy, local=False).generator


def test_descriptors() -> None:
    reasons = {"refused: this host has no descriptor left for it": 3}
    assert found(sample(IDLE, worker(0.1)), reasons=reasons).generator
    verdict = found(sample(IDLE), reasons={"refused: no answer to the handshake in time": 5})
    assert not verdict.generator
    assert "relay descriptors" in verdict.resource


def test_network() -> None:
    verdict = found(sample(IDLE, gbps=0.95), network_gbps=1.0)
    assert verdict == Diagnosis("network: 0.9 of 1 Gbit/s", generator=True)
    assert found(sample(IDLE, gbps=0.95), network_gbps=1.0, local=True).resource == ""


def skips(network: int, worker: int, pid: int = 1) -> dict[str, Any]:
    return {"slot": 0, "pid": pid, "cpu": 0.3, "skipped": {"network": network, "worker": worker}}


def test_a_network_that_is_slower_than_the_card() -> None:
    """The relay's sockets took no more, while neither host lacked anything."""
    first, last = sample(IDLE, skips(10, 5)), sample(IDLE, skips(90, 6), gbps=0.02)
    verdict = found(first, last, last, skipped=400, network_gbps=10.0)
    assert verdict.generator
    assert "0.02 Gbit/s" in verdict.resource
    # Only slow viewers were skipped for.
    assert found(first, last, skipped=0) == Diagnosis("")
    # The worker itself was late.
    assert found(first, sample(IDLE, skips(20, 95)), skipped=400) == Diagnosis("")
    # A new worker begins at nothing.
    assert found(first, sample(IDLE, skips(20, 0, pid=2)), skipped=400) == Diagnosis("")


def test_late_frames_although_nobody_is_busy() -> None:
    late = dataclasses.replace(sample(IDLE, skips(0, 0)), p95=900.0)
    assert "network, probably" in found(late, late).resource
    assert found(late, late, local=True) == Diagnosis("")
    busy = dataclasses.replace(late, workers=[{**skips(0, 0), "cpu": 0.7}])
    assert found(busy, busy) == Diagnosis("")
    # Of whom nothing is known may be busy.
    unknown = dataclasses.replace(late, workers=[])
    assert found(unknown, unknown) == Diagnosis("")


def test_a_limit_in_the_relays_own_words() -> None:
    """However busy the host is."""
    busy = Generator(host_cpu=1.0)
    reasons = {"refused: 1013 full": 9, "refused: no answer": 20, "lost: 1006": 99}
    verdict = found(sample(busy), reasons=reasons, local=True)
    assert verdict == Diagnosis("a limit of the relay: 1013 full")


def test_a_dead_process() -> None:
    assert found(sample(IDLE, worker(0.99)), died=1).generator
