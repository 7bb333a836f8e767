"""boto3, botocore and urllib3, imported when something of them is first used.

A report prints in less time than they take to import, and a load of local files needs none of them.
So they are late here, once, and what reads AWS may be imported at the top of any file. Nothing of
them may be used while a module is imported: no default of a class, no tuple of their errors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3
    import botocore.config
    import botocore.credentials
    import botocore.eventstream
    import botocore.exceptions
    import botocore.parsers
    import botocore.session
    import urllib3.exceptions
else:

    class _Late:
        """Stands for a package that is imported when its first attribute is asked for."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            package = import_module(self._name)
            try:
                return getattr(package, attribute)
            except AttributeError:
                return import_module(f"{self._name}.{attribute}")

    boto3, botocore, urllib3 = map(_Late, ("boto3", "botocore", "urllib3"))

__all__ = ["boto3", "botocore", "urllib3"]
