"""This relay with its asyncio engine."""

from tests.bench.our_relay import run_relay

run_relay("asyncio")
