"""What ``metadata.yml`` says of each view, column and canned query."""

from __future__ import annotations

from typing import Any

import yaml

from etl import resources


def read_metadata() -> dict[str, Any]:
    """Return the content of ``metadata.yml``."""
    # Datasette parses it in pure Python, which adds a third of a second to every start.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    metadata: dict[str, Any] = yaml.load(resources.METADATA.read_bytes(), loader)  # noqa: S506
    return metadata
