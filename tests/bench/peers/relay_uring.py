"""This relay with its uring engine."""

from tests.bench.our_relay import run_relay

run_relay("uring")
