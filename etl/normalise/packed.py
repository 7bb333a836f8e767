"""Calls in the form in which they pass between processes and into the warehouse.

Most of what is known of a call (who, which model, where, how) is the same for many calls. All of
that together is its *shape*. It is sent once, with a number, and a call is a flat tuple that refers
to the number. Ids that are UUIDs become 16 bytes, as they are stored. Corrections are not packed.
"""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from etl.normalise.rows import Event, Tokens
from etl.normalise.token_kinds import STORED_COLUMNS
from etl.normalise.token_sources import KEYS, NAMES

StoredId = bytes | str

# Event's fields from account_id to reported_by.
Shape = tuple[Any, ...]

# event_time, event_id, request_id, shared_event_id, shape number, credential, then its
# ``STORED_COLUMNS``. A call that can have only input and output tokens ends after these: so many
# values. The credential is not part of the shape: a busy role has new ones all the time.
PackedCall = tuple[Any, ...]
SHORT = 9

_FIRST, _LAST = Event._fields.index("account_id"), Event._fields.index("tokens")
# Each numbering of shapes has a range of its own, which it never fills (DECISIONS 45).
SHAPES_A_RANGE = 1 << 40
_ranges = itertools.count()

# More shapes than a busy day has. Beyond it the numbers are forgotten, and shapes are sent again.
_MAX_SHAPES = 20_000
_MAX_LETTERS = 8 << 20


def stored_id(text: str) -> StoredId:
    """Return an id as it is stored: 16 bytes if it is a lower-case UUID, otherwise its text."""
    if len(text) != 36 or not text[8] == text[13] == text[18] == text[23] == "-":
        return text
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return text
    return raw if len(raw) == 16 and text == text.lower() else text


def plain_id(value: StoredId) -> str:
    """Return a stored id as its original text."""
    return str(uuid.UUID(bytes=value)) if isinstance(value, bytes) else value


def token_columns(tokens: Tokens | None) -> tuple[Any, ...]:
    """Return tokens as a table's ``STORED_COLUMNS`` hold them."""
    return (KEYS[tokens.source], *tokens[1:]) if tokens else (None,) * len(STORED_COLUMNS)


def tokens_of(columns: tuple[Any, ...]) -> Tokens | None:
    """Return the tokens in ``STORED_COLUMNS``, or in the first of them; None if there are none."""
    return None if columns[0] is None else Tokens(NAMES[columns[0]], *columns[1:])


def next_range() -> int:
    """Return the first number of a range that nothing else in this program uses for shapes."""
    return next(_ranges) * SHAPES_A_RANGE


def range_of(number: int) -> int:
    """Return the first number of a number's range."""
    return number // SHAPES_A_RANGE * SHAPES_A_RANGE


class Shapes:
    """Numbers shapes from ``first`` on. A warehouse accepts those of several at the same time."""

    def __init__(self, first: int) -> None:
        self._next = first
        self._numbers: dict[Shape, int] = {}
        self._texts: dict[str, str] = {}
        self._new: list[tuple[int, Shape]] = []
        self._letters = self.new_letters = 0

    def number_of(self, shape: Shape) -> int:
        """Return the number of a shape, a new one if it has none."""
        number = self._numbers.get(shape)
        if number is None:
            number = self._next
            self._next += 1
            # Texts shared with other shapes are held, and sent, once.
            texts = self._texts
            size = sum(len(v) for v in shape if type(v) is str and v not in texts)
            self._letters += size
            self.new_letters += size
            shape = tuple([texts.setdefault(v, v) if type(v) is str else v for v in shape])
            self._numbers[shape] = number
            self._new.append((number, shape))
        return number

    def pack(self, event: Event) -> PackedCall:
        """Return a call in the packed form."""
        return (
            event.event_time,
            stored_id(event.event_id),
            stored_id(event.request_id) if event.request_id else None,
            stored_id(event.shared_event_id) if event.shared_event_id else None,
            self.number_of(shape_of(event)),
            event.credential,
            *token_columns(event.tokens),
        )

    def take_new(self) -> list[tuple[int, Shape]]:
        """Return what was numbered since the last call."""
        new, self._new = self._new, []
        self.new_letters = 0
        return new

    @property
    def is_full(self) -> bool:
        return len(self._numbers) >= _MAX_SHAPES or self._letters >= _MAX_LETTERS

    def forget(self) -> int:
        """Start numbering again. Return the first number that will be used from now on."""
        self._numbers.clear()
        self._texts.clear()
        self._letters = 0
        return self._next


def unpack(call: PackedCall, shape: Shape) -> Event:
    """Return a packed call as the event it was."""
    request_id, shared_event_id = call[2:4]
    return Event._make(
        (
            call[0],
            plain_id(call[1]),
            None if request_id is None else plain_id(request_id),
            None if shared_event_id is None else plain_id(shared_event_id),
            *shape,
            tokens_of(call[6:]),
            None,
            call[5],
        )
    )


def shape_of(event: Event) -> Shape:
    """Return what an event shares with other calls of the same names."""
    return tuple(event)[_FIRST:_LAST]


def event_of(shape: Shape) -> Event:
    """Return an event with what the calls of a shape share, with empty ids and time."""
    return Event._make(("", "", None, None, *shape, None, None, None))
