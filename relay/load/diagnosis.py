"""Which resource ran out, and whose. Pure.

The rule above all: what the load generator lacks is never the relay's limit. A relay that says
why it refuses has told its limit; a worker of it that is busy all the time is the limit only
while the generator, and the host that both may share, still had something left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from relay.load.samples import Sample

__all__ = ["Diagnosis", "diagnose"]

_BUSY: Final = 0.9
_LATE: Final = 0.25
_IN_ITS_WORDS: Final = ("refused: 1008", "refused: 1013", "refused: HTTP")
_NO_DESCRIPTOR: Final = "this host has no descriptor left"
_NO_PORT: Final = "this host has no port left"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What ran out.

    Attributes:
        resource: in words; empty: nothing did, as far as can be told from here.
        generator: whether it is the generator's, so that the relay may hold more.
    """

    resource: str
    generator: bool = False


def diagnose(
    samples: Sequence[Sample],
    reasons: Mapping[str, int],
    *,
    local: bool,
    died: int = 0,
    network_gbps: float = 0.0,
) -> Diagnosis:
    """Tell which resource ran out.

    Args:
        samples: of the time in question.
        reasons: of what went wrong in it, in words.
        local: whether relay and generator share a host.
        died: processes of the generator that ended by themselves.
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
    worker, share = _busiest_worker(samples)
    host = _median([each.generator.host_cpu for each in samples])
    if local and host > _BUSY:
        used = _median([each.generator.cpu for each in samples])
        relay = _median([sum(row["cpu"] for row in each.workers) for each in samples])
        return Diagnosis(
            f"the processors of this host, {host:.0%} in use: {relay:.1f} by the relay's workers, "
            f"{used:.1f} by synthetic viewers, the rest by browsers, publishers and others",
            generator=True,
        )
    full = _full_descriptors(samples)
    if full:
        return Diagnosis(full)
    if share > _BUSY:
        return Diagnosis(f"relay CPU: worker {worker} used {share:.0%} of a processor")
    gbps = _median([each.gbps for each in samples])
    if not local and network_gbps and gbps > _BUSY * network_gbps:
        return Diagnosis(f"network: {gbps:.1f} of {network_gbps:g} Gbit/s", generator=True)
    return Diagnosis("")


def _generator(samples: Sequence[Sample], reasons: Mapping[str, int], died: int) -> str:
    if died:
        return f"processes of the load generator: {died} of them died"
    if any(_NO_DESCRIPTOR in why for why in reasons):
        return "descriptors of the load generator; raise ulimit -n"
    if any(_NO_PORT in why for why in reasons):
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


def _busiest_worker(samples: Sequence[Sample]) -> tuple[int, float]:
    slots = {row["slot"] for sample in samples for row in sample.workers}
    shares = {
        slot: _median(
            [row["cpu"] for sample in samples for row in sample.workers if row["slot"] == slot]
        )
        for slot in slots
    }
    return max(shares.items(), key=lambda item: item[1], default=(-1, 0.0))


def _full_descriptors(samples: Sequence[Sample]) -> str:
    for row in samples[-1].workers:
        used, limit = row.get("descriptors", 0), row.get("descriptor_limit", 0)
        if limit and used > 0.95 * limit:
            return f"relay descriptors: worker {row['slot']} has {used:,} of {limit:,} open"
    return ""


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0
