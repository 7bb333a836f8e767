"""The same file decoded without the shortcuts, with the result for comparison."""

from __future__ import annotations

from typing import Any

import pytest

from etl.load.decoder import content as content_module
from etl.load.decoder import fast_cloudtrail as trail_module
from etl.load.decoder.content import Decoded, Decoder
from etl.normalise.packed import unpack
from etl.sources import split as split_module


def shown(decoded: Decoded) -> dict[str, Any]:
    """Return the content of a file, its calls as events in file order."""
    shapes = dict(decoded.shapes)
    return {
        "events": [unpack(packed, shapes[packed[4]]) for packed in decoded.calls],
        "rows": decoded.rows,
        "rejects": decoded.rejects,
        "read": decoded.events_read,
        "skipped": decoded.events_skipped,
    }


def the_long_way(data: bytes, monkeypatch: pytest.MonkeyPatch) -> Decoded:
    """Cut value by value, and build each record whole."""
    with monkeypatch.context() as patch:
        patch.setattr(split_module.Splitter, "_stretch", lambda *_: None)
        patch.setattr(split_module.Splitter, "_whole", lambda *_: None)
        patch.setattr(split_module.Splitter, "_lines", lambda *_: None)
        patch.setattr(trail_module.TrailDecoder, "pack", lambda *_: None)
        patch.setattr(content_module, "is_other_event", lambda **_: lambda record: False)
        patch.setattr(content_module, "may_be_ours", lambda _: True)
        return Decoder().decode(data)
