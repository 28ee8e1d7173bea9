"""Which resource ran out, and whose. Pure.

The rule above all: what the load generator lacks is never the relay's limit. A relay that says
why it refuses has told its limit; a worker of it that is busy all the time is the limit only
while the generator, and the host that both may share, still had something left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from relay.load.counts import NO_ANSWER, NO_DESCRIPTOR, NO_PORT
from relay.load.samples import Sample

__all__ = ["Diagnosis", "diagnose"]

_BUSY: Final = 0.9
_LATE: Final = 0.25
_IDLE: Final = 0.5
_PROMPT_MS: Final = 250.0
_IN_ITS_WORDS: Final = ("refused: 1008", "refused: 1013", "refused: HTTP")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What ran out.

    Attributes:
        resource: in words; empty: nothing did, as far as can be told from here.
        generator: whether it is not the relay's, so that the relay may hold more.
    """

    resource: str
    generator: bool = False


def diagnose(
    samples: Sequence[Sample],
    reasons: Mapping[str, int],
    *,
    local: bool,
    died: int = 0,
    skipped: int = 0,
    network_gbps: float = 0.0,
) -> Diagnosis:
    """Tell which resource ran out.

    Args:
        samples: of the time in question.
        reasons: of what went wrong in it, in words.
        local: whether relay and generator share a host.
        died: processes of the generator that ended by themselves.
        skipped: frames that viewers who take all they are sent were not sent.
        network_gbps: speed of this host's network; 0: unknown.
    """
    said = {why: count for why, count in reasons.items() if why.startswith(_IN_ITS_WORDS)}
    if said and not died:
        most = max(said, key=lambda why: said[why])
        return Diagnosis(f"a limit of the relay: {most.removeprefix('refused: ')}")
    own = _generator(samples, reasons, died)
    if own:
        return Diagnosis(own, generator=True)
    if not samples:
        return Diagnosis("")
    if _accepts_nobody(samples, reasons):
        return Diagnosis(
            "relay descriptors: it takes no more connections, and serves those it has in time; "
            "its log says more"
        )
    host = _median([each.generator.host_cpu for each in samples])
    if local and host > _BUSY:
        used = _median([each.generator.cpu for each in samples])
        relay = _median([sum(row["cpu"] for row in each.workers) for each in samples])
        return Diagnosis(
            f"the processors of this host, {host:.0%} in use: {relay:.1f} by the relay's workers, "
            f"{used:.1f} by synthetic viewers, the rest by browsers, publishers and others",
            generator=True,
        )
    worker, share = _busiest_worker(samples)
    if share > _BUSY:
        return Diagnosis(f"relay CPU: worker {worker} used {share:.0%} of a processor")
    between = "" if local else _network(samples, skipped, network_gbps, share)
    return Diagnosis(between, generator=bool(between))


def _generator(samples: Sequence[Sample], reasons: Mapping[str, int], died: int) -> str:
    if died:
        return f"processes of the load generator: {died} of them died"
    if any(NO_DESCRIPTOR in why for why in reasons):
        return "descriptors of the load generator; raise ulimit -n"
    if any(NO_PORT in why for why in reasons):
        return "ports of the load generator's host"
    busiest = _median([each.generator.busiest for each in samples])
    if busiest > _BUSY:
        return (
            f"load generator CPU: one of its processes used {busiest:.0%} of a processor; "
            "give it more with --processes, or another host"
        )
    late = sum(each.generator.lag > _LATE for each in samples)
    if late * 2 > len(samples):
        return (
            f"load generator CPU: its processes were late by up to "
            f"{max(each.generator.lag for each in samples) * 1000:.0f} ms; this host is too busy"
        )
    return ""


def _accepts_nobody(samples: Sequence[Sample], reasons: Mapping[str, int]) -> bool:
    """Newcomers wait in the relay's backlog, who asks for its state too; others lack nothing."""
    served = samples[-1].fps > 0 and not _late(samples)
    return served and f"refused: {NO_ANSWER}" in reasons


def _busiest_worker(samples: Sequence[Sample]) -> tuple[int, float]:
    slots = {row["slot"] for sample in samples for row in sample.workers}
    shares = {
        slot: _median(
            [row["cpu"] for sample in samples for row in sample.workers if row["slot"] == slot]
        )
        for slot in slots
    }
    return max(shares.items(), key=lambda item: item[1], default=(-1, 0.0))


def _network(samples: Sequence[Sample], skipped: int, card_gbps: float, busiest: float) -> str:
    """Between two hosts, of which neither lacks anything else."""
    gbps = _median([each.gbps for each in samples])
    if card_gbps and gbps > _BUSY * card_gbps:
        return f"network: {gbps:.1f} of {card_gbps:g} Gbit/s"
    by_network, by_worker = _skips(samples, "network"), _skips(samples, "worker")
    # Skips that the relay puts down to sockets which took no more.
    if skipped and by_network > by_worker:
        return f"network: what is between the relay and here lets {gbps:.3g} Gbit/s through"
    # Sockets hold a second or two before that.
    known = all(each.workers for each in samples)
    if known and busiest < _IDLE and not by_worker and _late(samples):
        return (
            f"network, probably: at {gbps:.3g} Gbit/s frames come late, and neither this host "
            f"nor the relay is busy (its busiest worker uses {busiest:.0%} of a processor)"
        )
    return ""


def _late(samples: Sequence[Sample]) -> bool:
    return _median([each.p95 or 0.0 for each in samples]) > _PROMPT_MS


def _skips(samples: Sequence[Sample], cause: str) -> int:
    """How many skips the relay counted in this time, of workers that lived all the while."""
    first, last = (
        {row["pid"]: row["skipped"][cause] for row in sample.workers if "skipped" in row}
        for sample in (samples[0], samples[-1])
    )
    return sum(last[pid] - first[pid] for pid in first.keys() & last.keys())


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
