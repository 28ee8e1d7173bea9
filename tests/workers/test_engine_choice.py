"""Which engine a worker uses."""

from __future__ import annotations

import pytest

from workers.engines.choose import choose_engine
from workers.table import ENGINES


def test_auto_finds_one_that_the_table_can_name() -> None:
    engine = choose_engine("auto")
    assert engine.name in ENGINES
    engine.close()


def test_asyncio_is_everywhere() -> None:
    assert choose_engine("asyncio").name == "asyncio"


def test_a_name_that_is_no_engine() -> None:
    with pytest.raises(ValueError, match="unknown engine 'steam'"):
        choose_engine("steam")
