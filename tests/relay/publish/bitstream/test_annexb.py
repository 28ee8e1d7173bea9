"""Annex B key frames are complete in themselves, whatever the source left out."""

from __future__ import annotations

from relay.publish.bitstream.annexb import AnnexBStream
from tests.relay.publish.bitstream.test_h264 import CLIP_SPS, KNOWN_SPS

LONG = b"\0\0\0\1"
PPS = bytes.fromhex("68ef3c80")
IDR = b"\x65\x88\x82"
SLICE = b"\x41\x9a"
DELIMITER = b"\x09\xf0"
EXTRADATA = LONG + CLIP_SPS + LONG + PPS


def test_sets_from_extradata_are_put_in_front_of_an_idr() -> None:
    stream = AnnexBStream(EXTRADATA)
    assert stream.push(LONG + IDR) == (LONG + CLIP_SPS + LONG + PPS + LONG + IDR, True)


def test_an_access_unit_delimiter_stays_first() -> None:
    stream = AnnexBStream(EXTRADATA)
    payload, key = stream.push(LONG + DELIMITER + LONG + IDR)
    assert key
    assert payload == LONG + DELIMITER + LONG + CLIP_SPS + LONG + PPS + LONG + IDR


def test_a_complete_unit_is_left_alone() -> None:
    unit = EXTRADATA + LONG + IDR
    payload, key = AnnexBStream().push(unit)
    assert key
    assert payload is unit


def test_sets_in_band_are_remembered() -> None:
    stream = AnnexBStream()
    stream.push(EXTRADATA + LONG + IDR)
    payload, key = stream.push(LONG + IDR)
    assert key
    assert payload == EXTRADATA + LONG + IDR


def test_new_sets_replace_old_ones() -> None:
    other = bytes.fromhex(KNOWN_SPS[1][0])
    stream = AnnexBStream(EXTRADATA)
    stream.push(LONG + other + LONG + PPS + LONG + IDR)
    payload, _ = stream.push(LONG + IDR)
    assert payload == LONG + other + LONG + PPS + LONG + IDR
    assert stream.sps == KNOWN_SPS[1][1]


def test_a_slice_is_no_key_and_left_alone() -> None:
    assert AnnexBStream(EXTRADATA).push(LONG + SLICE) == (LONG + SLICE, False)


def test_an_idr_without_any_known_sets_is_no_key() -> None:
    assert AnnexBStream().push(LONG + IDR) == (LONG + IDR, False)


def test_the_description_is_the_same_object_until_it_changes() -> None:
    stream = AnnexBStream(EXTRADATA)
    first = stream.sps
    stream.push(EXTRADATA + LONG + IDR)
    assert first is not None
    assert stream.sps is first


def test_unreadable_sets_have_no_description() -> None:
    assert AnnexBStream(LONG + b"\x67\x4d\x40\x1f").sps is None
