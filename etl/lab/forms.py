"""Whether the input that AWS reports contains the cached tokens, as the calls of a run show it.

The ledger has what each answer said. What another source reports for the same call is either the
answer's input, or that without the cached tokens, or that with them. Calls without cached tokens
show nothing. What the answer's own input contains is in the table ``input_forms``; an answer with
more cached tokens than input is net, whatever that says.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlite_utils import Database

from etl.lab.sent_calls import CACHED, Entry
from etl.show.numbers import Row, count
from etl.times import utc_text
from etl.warehouse.read.reports import run_report

_MARGIN = timedelta(hours=2)


ANSWER = "invocation log body"


class SeenForm(NamedTuple):
    """What the calls of a run show of one model's input in one source.

    ``form``: None if they do not agree, or fit no form. ``line``: what to add to
    ``sql/seeds/input_forms.csv``; None if it says so already, or nothing can be said.
    """

    model_id: str
    source: str
    calls: int
    form: str | None
    words: str
    line: str | None


def seen_forms(db: Database, entries: Sequence[Entry], today: date) -> list[SeenForm]:
    """Compare the answers of a run with what each source reports of its calls."""
    answers = {
        entry.request_id: entry.usage for entry in entries if entry.request_id and entry.usage
    }
    times = [datetime.fromisoformat(entry.time) for entry in entries]
    reports = run_report(
        db,
        "lab_input_forms",
        {
            "first": utc_text(min(times) - _MARGIN),
            "last": utc_text(max(times) + _MARGIN),
            "request_ids": json.dumps(list(answers)),
        },
    )
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in reports:
        groups[row["model_id"], row["token_source"]].append(row)
        usage = answers.get(row["request_id"])
        if usage and _cached(usage) > usage["input_tokens"]:
            # What its response would be in a log.
            answer = {"input_tokens": usage["input_tokens"], "form": row["answer_form"]}
            groups[row["model_id"], ANSWER].append(row | answer)
    found = (_seen(*key, rows, answers, today) for key, rows in sorted(groups.items()))
    return [one for one in found if one]


def _seen(
    model: str,
    source: str,
    rows: Iterable[Row],
    answers: Mapping[str, Mapping[str, int]],
    today: date,
) -> SeenForm | None:
    forms: set[str | None] = set()
    calls, known = 0, None
    for row in rows:
        usages = [answers[name] for name in row["request_id"].split(",") if name in answers]
        if sum(_cached(usage) for usage in usages) == 0:
            continue
        calls += len(usages)
        known = row["form"]
        forms.add(_form(row["input_tokens"], usages, row["answer_form"]))
    if not calls:
        return None
    form = forms.pop() if len(forms) == 1 else None
    told = f"{model}, {source}: in {count(calls, 'cached call')}"
    if form is None:
        words = f"{told} the input fits no form, or not the same; nothing can be said"
    elif form == "unknown":
        words = f"{told} the input is the answer's, whose own form is not known"
    else:
        contains = "contains" if form == "gross" else "does not contain"
        words = f"{told} the input {contains} the cached tokens ({form})"
    if form in (None, "unknown", known):
        return SeenForm(model, source, calls, form, words, None)
    family = model.partition(".")[0]
    line = f"{family}.,{source},{form},{count(calls, 'call')} of lab verify,{today.isoformat()}"
    return SeenForm(model, source, calls, form, words, line)


def _cached(usage: Mapping[str, int]) -> int:
    return sum(usage.get(kind, 0) for kind in CACHED)


def _form(reported: int, usages: Sequence[Mapping[str, int]], answer_form: str) -> str | None:
    """Return the form of a reported input, from what the answers of its calls said."""
    said = sum(usage["input_tokens"] for usage in usages)
    cached = sum(map(_cached, usages))
    if any(_cached(usage) > usage["input_tokens"] for usage in usages):
        answer_form = "net"
    fitting = {
        "gross": {said: "gross", said - cached: "net"},
        "net": {said: "net", said + cached: "gross"},
        # Whatever the answer's is: this one is the other.
        "unknown": {said: "unknown", said - cached: "net", said + cached: "gross"},
    }[answer_form]
    return fitting.get(reported)
