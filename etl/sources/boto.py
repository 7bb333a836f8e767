"""boto3, botocore and urllib3, imported on first use.

Importing them takes longer than printing a report, and a load of local files needs none of them.
They are deferred here, once, so modules that read AWS can be imported at the top of any file. Do
not use them at import time: not in a class default, not in a tuple of their errors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3
    import botocore.awsrequest
    import botocore.config
    import botocore.credentials
    import botocore.eventstream
    import botocore.exceptions
    import botocore.httpsession
    import botocore.parsers
    import botocore.session
    import botocore.utils
    import urllib3.exceptions
else:

    class _Late:
        """Stands in for a package and imports it on the first attribute access."""

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
