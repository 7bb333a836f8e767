"""Reading time grows linearly with the input, not with its square."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.load.decoder.content import Decoder
from tests.bombs import BOMBS
from tests.rounds import rounds, some

PARTS = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\n", b" ", b"1", b"a", b"\xff", b"e"),
    *(b"null", b'"a"', b'"a":', b'{"Records":[', b'{"Events":[', b'{"a":1}', b"{}", b"[]"),
    *(b'{"eventID":1}', b"[{},\n", b'["a\n', b'{"a":\n'),
)
PIECE = 1 << 16


def seconds(data: bytes) -> float:
    """Return the CPU seconds that a content takes, the less of two."""
    return min(_seconds(data) for _ in range(2))


def _seconds(data: bytes) -> float:
    before = time.process_time()
    for _ in Decoder().chunks(data[at : at + PIECE] for at in range(0, len(data), PIECE)):
        pass
    return time.process_time() - before


def check(small: bytes, large: bytes) -> None:
    """Fail if eight times as much takes far more than eight times as long, or just very long."""
    taken = seconds(large)
    if taken > 0.3:
        assert taken < 0.3 + 20 * seconds(small)
        assert taken < 60 * len(large) / 1e6


@settings(
    max_examples=rounds(12, 3000), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=6))
def test_any_fragment_repeated_takes_linear_time(parts: list[bytes]) -> None:
    fragment = b"".join(parts)
    check(*((fragment * size)[:size] for size in (rounds(4_000, 20_000), rounds(32_000, 160_000))))


@pytest.mark.parametrize("kind", some(BOMBS, 10))
def test_each_bomb_takes_linear_time(kind: str) -> None:
    sizes = (16_384, 131_072)
    check(*(b"".join(BOMBS[kind](size))[:size] for size in sizes))


@pytest.mark.parametrize("line", [b"[{},\n", b"[\n", b'["a\n', b'{"a":\n'])
def test_lines_that_nothing_closes_are_refused_at_once(line: bytes) -> None:
    number = 250_000 // len(line)
    before = time.process_time()
    chunks = list(Decoder().chunks([line * number]))
    assert time.process_time() - before < 1
    assert sum(chunk.rejected for chunk in chunks) >= number / 2


def test_objects_side_by_side_are_read_in_linear_time() -> None:
    assert _seconds(b"{}" * 80_000) < 1
    check(b'{"a":1}' * 250, b'{"a":1}' * 2_000)
