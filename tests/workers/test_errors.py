"""Peer errors, and reasons that fit into a Close frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, CloseCode

from workers.errors import REASON_LIMIT, PeerError, close_reason
from workers.table import Column


def test_a_peer_error_carries_what_is_needed_to_close() -> None:
    error = PeerError(CloseCode.POLICY_VIOLATION, "not today", Column.REFUSED_AUTH)
    assert (error.code, error.reason, error.column) == (1008, "not today", Column.REFUSED_AUTH)
    assert str(error) == "not today"


@pytest.mark.parametrize("text", ["", "short", "x" * REASON_LIMIT, "é" * 61])
def test_what_fits_is_left_alone(text: str) -> None:
    assert close_reason(text) == text


@pytest.mark.parametrize("text", ["x" * (REASON_LIMIT + 1), "é" * 62, "\N{GRINNING FACE}" * 31])
def test_what_does_not_fit_is_cut_between_characters(text: str) -> None:
    cut = close_reason(text)
    assert cut.endswith("...")
    assert text.startswith(cut[:-3])
    assert REASON_LIMIT - 3 <= len(cut.encode()) <= REASON_LIMIT


@given(st.text(max_size=300))
def test_any_reason_makes_a_valid_close_frame(text: str) -> None:
    payload = Close(CloseCode.INTERNAL_ERROR, close_reason(text)).serialize()
    assert len(payload) <= 125
    assert Close.parse(payload).reason == close_reason(text)
