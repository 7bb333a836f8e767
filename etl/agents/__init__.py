"""The reports as tools for agents, by the Model Context Protocol: read only.

``tools`` has the tools and ``arguments`` what they take; ``answers`` limits what they return and
marks what callers of Bedrock wrote; ``desk`` runs them, each within a time. ``descriptions`` and
``resources`` say what the figures mean. ``server`` is the only module that knows the SDK, apart
from the two ways to it: ``stdio`` for a program on this machine, ``http`` for the running server.

Nobody gets more by a tool than by a page: whoever may see some usage only gets tools that show
nothing else, and no SQL.
"""

from importlib.util import find_spec

NEEDS_SDK = "to answer agents, run pip install 'bedrock-usage[mcp]' first"


def has_sdk() -> bool:
    """Return whether the SDK, an extra, is installed."""
    return find_spec("mcp") is not None
