"""What to say of failed calls: the kinds of error, in order, and what each means."""

from __future__ import annotations

from collections.abc import Mapping

NOT_KNOWN = "not known"

# As sql/macros/errors.sql names them.
KINDS: Mapping[str, str] = {
    "throttled": "more calls or tokens at once than a quota allows",
    "denied": "no permission for the call, or no access to the model",
    "not valid": "AWS did not accept the request as it was sent",
    "not found": "no such model, profile or provisioned model",
    "timed out": "the model took too long",
    "failed at AWS": "the model or the service was not available, or had an error of its own",
    "other": "any other error code",
    NOT_KNOWN: "only the number of failed calls is known: their days came from a rollup, the calls"
    " were dropped before kinds were kept, or they are not counted by kind yet",
}
