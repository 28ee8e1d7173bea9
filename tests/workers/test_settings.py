"""Settings: each defined once, with a description and sound bounds."""

from __future__ import annotations

import dataclasses

import pytest

from workers.settings import Limits, ViewerSettings, option

FIELDS = [field for section in (Limits, ViewerSettings) for field in dataclasses.fields(section)]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_option_can_be_derived(field: dataclasses.Field[object]) -> None:
    assert field.metadata["help"]
    assert not field.metadata["help"].endswith(".")
    assert isinstance(field.default, int | float)
    assert field.default >= field.metadata["minimum"] > 0


def test_names_are_unique_over_all_sections() -> None:
    names = [field.name for field in FIELDS]
    assert len(set(names)) == len(names)


def test_a_viewer_that_reads_slowly_is_skipped_before_it_is_closed() -> None:
    settings = ViewerSettings()
    assert settings.max_lag < settings.progress_timeout


def test_the_largest_frame_fits_into_the_window() -> None:
    assert Limits().max_publish_message <= ViewerSettings().window


def test_options_carry_their_metadata() -> None:
    made = option("a", "letters", choices=("a", "b"), secret=True)
    assert made.default == "a"
    assert dict(made.metadata) == {"help": "letters", "choices": ("a", "b"), "secret": True}


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().max_viewers = 1  # type: ignore[misc]
