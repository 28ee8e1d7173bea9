"""Errors are one clear line that names the thing and the remedy."""

from __future__ import annotations

import pickle

import pytest

import bus
from bus import errors

CASES = [
    (errors.InvalidName("stream", "a/b"), "'a/b'", "1 to 64"),
    (errors.StreamBusy("cam0", 123), "'cam0' is being published by pid 123", "takeover"),
    (errors.TakenOver("cam0"), "'cam0'", "taken over"),
    (errors.FrameTooLarge(900, 800), "900", "limit of 800 bytes"),
    (errors.NoSpace(900, 800, "/dev/shm"), "/dev/shm", "900 bytes needed, 800 free"),
    (errors.SegmentInvalid("relay@x", "it is truncated"), "'relay@x'", "it is truncated"),
    (errors.SegmentMissing("relay@x"), "'relay@x'", "nobody publishes it"),
    (errors.TooManyReaders("relay@x", 64), "'relay@x'", "64"),
]


@pytest.mark.parametrize(("error", "thing", "hint"), CASES)
def test_message(error: errors.BusError, thing: str, hint: str) -> None:
    assert isinstance(error, errors.BusError)
    assert thing in str(error)
    assert hint in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("error", [case[0] for case in CASES])
def test_errors_cross_processes(error: errors.BusError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_the_package_exports_every_error() -> None:
    assert set(errors.__all__) <= set(bus.__all__)
    assert bus.__all__ == sorted(bus.__all__)
