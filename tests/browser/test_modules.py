"""The player's pure modules, in the browser that runs them; no relay is needed."""

from __future__ import annotations

import base64
import math
import random
from typing import Any, Final

import msgpack
import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.fake_relay import open_site

pytestmark = pytest.mark.browser

EDGES: Final = [
    *(0, 1, 127, 128, 255, 256, 2**16 - 1, 2**16, 2**31, 2**32 - 1, 2**32, 2**53, 2**64 - 1),
    *(-1, -32, -33, -128, -129, -(2**15), -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**63)),
    *(1_795_417_031_698_900, 0.0, -0.5, 1e300, math.pi, True, False, None),
    *("", "a", "é" * 20, "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 65_536),
    *(b"", b"a" * 255, b"b" * 256, b"c" * 65_536),
    *([], [1] * 15, [2] * 16, [3] * 65_536, {}, {"a": [{"b": b"z"}]}),
    {str(number): number for number in range(16)},
    [7, -7, 0, 1, b"payload"],
]

UNPACK: Final = """
async packed => {
  const { unpack } = await import("/player.js");
  const bytes = text => Uint8Array.from(atob(text), char => char.charCodeAt(0));
  const plain = value => {
    if (value instanceof Uint8Array) return { bin: btoa(Array.from(value, byte =>
      String.fromCharCode(byte)).join("")) };
    if (Array.isArray(value)) return value.map(plain);
    if (value === null || typeof value !== "object") return value;
    return { map: Object.entries(value).map(([key, item]) => [key, plain(item)]) };
  };
  return packed.map(text => plain(unpack(bytes(text).buffer)));
}
"""
PREFIXES: Final = """
async packed => {
  const { unpack } = await import("/player.js");
  const bytes = Uint8Array.from(atob(packed), char => char.charCodeAt(0));
  const outcomes = [];
  for (let length = 0; length <= bytes.length + 1; length++) {
    const part = new Uint8Array(length);
    part.set(bytes.subarray(0, length));
    try {
      unpack(part.buffer);
      outcomes.push("value");
    } catch (error) {
      outcomes.push(error.constructor.name);
    }
  }
  return outcomes;
}
"""
PACK: Final = """
async message => {
  const { pack } = await import("/player.js");
  return Array.from(pack(message));
}
"""


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """An empty page beside the player's files."""
    return open_site(context)


def _pack(value: Any) -> str:
    return base64.b64encode(msgpack.packb(value)).decode()


def _as_javascript(value: Any) -> Any:
    """A value as `UNPACK` gives it back, but for its integers."""
    match value:
        case bytes():
            return {"bin": base64.b64encode(value).decode()}
        case list():
            return [_as_javascript(each) for each in value]
        case dict():
            return {"map": [[key, _as_javascript(item)] for key, item in value.items()]}
        case _:
            return value


def _with_doubles(value: Any) -> Any:
    """A value with its integers as doubles, the only numbers that JavaScript has."""
    match value:
        case list():
            return [_with_doubles(each) for each in value]
        case dict():
            return {key: _with_doubles(item) for key, item in value.items()}
        case bool():
            return value
        case int():
            return float(value)
        case _:
            return value


def _random_value(source: random.Random, depth: int = 3) -> Any:
    kind = source.randrange(7 if depth else 5)
    match kind:
        case 0:
            return source.randrange(-(2**63), 2**64) >> source.randrange(64)
        case 1:
            return source.uniform(-1e9, 1e9)
        case 2:
            return source.choice([None, True, False])
        case 3:
            return "".join(source.choices("aß€𝄞 ", k=source.randrange(40)))
        case 4:
            return source.randbytes(source.randrange(300))
        case 5:
            return [_random_value(source, depth - 1) for _ in range(source.randrange(20))]
        case _:
            size = source.randrange(20)
            return {f"key {index}": _random_value(source, depth - 1) for index in range(size)}


def test_unpack_reads_what_python_packs(page: Page) -> None:
    """Every kind of value at the edges of its sizes, and a few hundred at random."""
    source = random.Random(11)
    values = [*EDGES, *(_random_value(source) for _ in range(300))]
    found = page.evaluate(UNPACK, [_pack(value) for value in values])
    for value, got in zip(values, found, strict=True):
        assert _with_doubles(got) == _with_doubles(_as_javascript(value)), f"{value!r:.80}"


def test_unpack_refuses_everything_but_one_whole_value(page: Page) -> None:
    """Each prefix, and one byte too many, is a RangeError."""
    value = {"type": "hello", "n": [2**40, -5, 1.5, None, {"x": b"12345"}], "s": "x" * 40}
    *prefixes, whole, longer = page.evaluate(PREFIXES, _pack(value))
    assert set(prefixes) == {"RangeError"}
    assert (whole, longer) == ("value", "RangeError")


def test_unpack_gives_a_view_on_the_payload(page: Page) -> None:
    """A frame's payload is not copied."""
    same = page.evaluate("""
        async () => {
          const { unpack } = await import("/player.js");
          const { buffer } = new Uint8Array([0x95, 1, 2, 3, 1, 0xc4, 3, 9, 8, 7]);
          const [seq, pts, capture, flags, data] = unpack(buffer);
          return data.buffer === buffer && String([seq, pts, capture, flags, ...data]);
        }
    """)
    assert same == "1,2,3,1,9,8,7"


def test_python_reads_what_pack_makes(page: Page) -> None:
    """All that the player says: short texts, numbers of any size, null."""
    message = {
        "type": "stats",
        "small": 127,
        "above": 128,
        "time": 1_795_417_031_698_900,
        "largest": 2**53 - 1,
        "negative": -(2**40),
        "fraction": -1.25,
        "none": None,
    }
    assert msgpack.unpackb(bytes(page.evaluate(PACK, message))) == message


def test_retry_delay_spreads_and_grows(page: Page) -> None:
    """Jitter over the whole span, doubled up to a cap; a restart at once, a busy relay later."""

    def delay(code: int, attempt: int, chance: float) -> float:
        found: float = page.evaluate(
            "async a => (await import('/player.js')).retryDelay(...a)", [code, attempt, chance]
        )
        return found

    assert [delay(1006, attempt, 1) for attempt in range(8)] == [
        *(250, 500, 1000, 2000, 4000, 8000, 8000, 8000),
    ]
    assert [delay(1006, 3, chance) for chance in (0, 0.5)] == [0, 1000]
    assert [delay(1012, 0, chance) for chance in (0, 1)] == [0, 500]
    assert delay(1012, 3, 1) == 2000
    assert [delay(1013, 0, chance) for chance in (0, 1)] == [2000, 10_000]


@pytest.mark.parametrize(
    ("wanted", "url"),
    [
        ({"stream": "cam0"}, "wss://relay.test/live/view/cam0"),
        ({"stream": "cam0", "token": "a b&c"}, "wss://relay.test/live/view/cam0?token=a+b%26c"),
        ({"stream": "x", "src": "/view/y?format=z"}, "ws://page.test/view/y?format=z"),
        ({"src": "wss://other.test/v", "token": "t"}, "wss://other.test/v?token=t"),
        ({"stream": "a/b"}, "“a/b” is not a stream name"),
        ({"stream": "x" * 65}, "is not a stream name"),
        ({"src": "http://["}, "“http://[” is not a URL"),
    ],
)
def test_view_url(page: Page, wanted: dict[str, str], url: str) -> None:
    """Beside the player's own address, whatever page embeds it; or what was wrong."""
    found = page.evaluate(
        """
        async wanted => {
          const { viewUrl } = await import("/player/address.js");
          try {
            return viewUrl(wanted, "https://relay.test/live/", "http://page.test/a/b");
          } catch (error) {
            return error.message;
          }
        }
        """,
        {"stream": "", "src": None, "token": None, **wanted},
    )
    assert found == url or url in found.split(": ")[0]


def test_meter_counts_a_window(page: Page) -> None:
    """The rate of the last two seconds; of nothing it is 0."""
    rates = page.evaluate("""
        async () => {
          const { Meter } = await import("/player/meter.js");
          const meter = new Meter();
          const rates = [meter.perSecond(0)];
          for (let at = 0; at <= 4000; at += 40) meter.add(1, at);
          rates.push(meter.perSecond(4000), meter.perSecond(9000));
          return rates;
        }
    """)
    assert rates == [0, 25, 0]
