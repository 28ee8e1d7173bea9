"""Prints the sizing table of README.md: ``python3 deploy/sizing.py``.

The constants are the assumptions; change them to your stream and run it again.
"""

from __future__ import annotations

from typing import Final

__all__ = ["row", "table"]

MBIT_PER_VIEWER: Final = 4.0
"""A 1080p stream at 30 pictures a second from a hardware encoder, as an example."""
WORKERS: Final = 4
DESCRIPTORS_OF_A_WORKER: Final = 256
"""Rings, doorbells, the loop, libraries and streams, generously."""
UNEVEN: Final = 1.1
"""Most viewers of one worker over the mean, which the balance gate holds."""
KERNEL_KIB_PER_VIEWER: Final = 128 + 128
"""unsent_low_water, and what is on its way: 4 Mbit/s times 250 ms is 122 KiB."""
VIEWERS: Final = (100, 1_000, 5_000, 10_000, 20_000)


def row(viewers: int) -> list[str]:
    """One row of the table."""
    of_one_worker = -(-viewers * UNEVEN // WORKERS)
    descriptors = int(of_one_worker) + DESCRIPTORS_OF_A_WORKER
    return [
        f"{viewers:,}",
        f"{viewers * MBIT_PER_VIEWER / 1000:g}",
        f"{descriptors:,}",
        f"{2 * viewers + 1024:,}",
        f"{viewers * KERNEL_KIB_PER_VIEWER // 1024:,}",
        f"{viewers * KERNEL_KIB_PER_VIEWER // 4:,}",
    ]


def table() -> str:
    """The table in Markdown."""
    heads = ["viewers", "Gbit/s", "nofile of a worker", "nofile of a proxy"]
    heads += ["socket memory, MiB", "the same in pages, for tcp_mem"]
    rows = [heads, ["--:"] * len(heads), *map(row, VIEWERS)]
    return "".join(f"| {' | '.join(each)} |\n" for each in rows)


if __name__ == "__main__":
    print(table(), end="")
