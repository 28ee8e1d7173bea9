"""Names that a user may choose, and what they become."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import names
from bus.errors import InvalidName

REFUSED = [
    "",
    "../x",
    "a/b",
    "/a",
    ".hidden",
    "..",
    "-rf",
    "_a",
    "a b",
    "a\n",
    "a\0b",
    "a@b",
    "a~1",
    "é",
    "x" * 65,
    None,
    b"cam0",
    7,
]


@pytest.mark.parametrize("name", ["a", "0", "cam0", "A.b_c-d", "a..b", "x" * 64])
def test_allowed_names_come_back_unchanged(name: str) -> None:
    assert names.check_stream(name) == name
    assert names.check_instance(name) == name
    assert names.resolve_instance(name) == name


@pytest.mark.parametrize("name", REFUSED)
def test_refused_names(name: object) -> None:
    with pytest.raises(InvalidName) as stream:
        names.check_stream(name)
    with pytest.raises(InvalidName) as instance:
        names.check_instance(name)
    assert str(stream.value).startswith("invalid stream name ")
    assert str(instance.value).startswith("invalid instance name ")
    assert "\n" not in str(stream.value)


def test_a_long_name_is_shown_in_part() -> None:
    assert len(str(InvalidName("stream", "x" * 100_000))) < 300


def test_the_instance_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(names.INSTANCE_VARIABLE, raising=False)
    assert names.resolve_instance(None) == "default"
    monkeypatch.setenv(names.INSTANCE_VARIABLE, "")
    assert names.resolve_instance(None) == "default"
    monkeypatch.setenv(names.INSTANCE_VARIABLE, "blue")
    assert names.resolve_instance(None) == "blue"
    assert names.resolve_instance("green") == "green"
    monkeypatch.setenv(names.INSTANCE_VARIABLE, "../x")
    with pytest.raises(InvalidName):
        names.resolve_instance(None)


allowed = st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"), fullmatch=True)


@given(instance=allowed, stream=allowed, other=allowed)
def test_object_names_lead_back_to_their_stream(instance: str, stream: str, other: str) -> None:
    name = names.stream_object(instance, stream)
    assert name.startswith(names.instance_prefix(instance))
    assert "/" not in name
    assert len(f"{name}~4194304.0123456789") <= 255
    assert names.stream_of(instance, name) == stream
    assert names.stream_of(other, name) == (stream if other == instance else None)


@given(instance=allowed, bell=st.integers(0, 2**64 - 1))
def test_other_objects_are_no_streams(instance: str, bell: int) -> None:
    for name in (
        names.directory_object(instance),
        names.workers_object(instance),
        names.bell_object(instance, bell),
        names.stream_object(instance, "cam") + "~12.abcd",
    ):
        assert name.startswith(names.instance_prefix(instance))
        assert names.stream_of(instance, name) is None
