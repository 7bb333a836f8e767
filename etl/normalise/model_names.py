"""Short names of models, for people: Claude Sonnet 4.5, not its id with vendor, date and version.

They follow from the id alone, so a model has the same name everywhere and before AWS's catalogue is
read. What two ids of the price list would share is kept apart: by the date, else by the whole id.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache

from etl import resources

# Words that are not written as an id has them.
_WORDS = {
    **{word: word.upper() for word in ("gpt", "oss", "glm", "ai21", "vl", "xl", "sd")},
    **{"deepseek": "DeepSeek", "minimax": "MiniMax"},
}
_DATE = re.compile(r"-(20[0-9]{6})(?=-|:|$)")
# What nearly every id ends with. A later version is part of the name: Claude 3.5 Sonnet V2.
_VERSION = re.compile(r"(?:-v[01]|-1)?(?::[0-9a-z]+)+$|-v[01]$")
_VENDOR = re.compile(r"^([a-z0-9-]+)\.(?=[a-z])")
# 4-5 is a version.
_NUMBERS = re.compile(r"(?<=[0-9])-(?=[0-9]+(?:-|$))")


def short_name(model_id: str) -> str:
    """Return a name that no other model has; the id of a model that the price list lacks."""
    name, date = _parts(model_id)
    ids = _ids_by_name().get(name, set())
    others = ids - {model_id}
    if model_id not in ids or not others:
        return name if model_id in ids else model_id
    is_told_by_date = date and all(_parts(other)[1] not in (None, date) for other in others)
    return f"{name} {date}" if is_told_by_date else model_id


@cache
def _parts(model_id: str) -> tuple[str, str | None]:
    """Return the name without a date, and the date."""
    found, vendor = _DATE.search(model_id), _VENDOR.match(model_id)
    rest = _VERSION.sub("", _DATE.sub("", model_id))
    rest = _NUMBERS.sub(".", _VENDOR.sub("", rest))
    words = [word for part in re.split(r"[-_ ]", rest) for word in _family(part) if word]
    if len(words) == 1 and vendor:
        words.insert(0, vendor[1])
    return " ".join(map(_word, words)), found and found[1]


def _family(word: str) -> tuple[str, ...]:
    """Return llama3.1 as two words."""
    found = re.fullmatch(r"(llama|qwen|sd)([0-9.]+)", word)
    return found.groups() if found else (word,)


def _word(word: str) -> str:
    if re.fullmatch(r"[0-9.]+[bkmx]", word):
        return word.upper()
    return _WORDS.get(word, word[:1].upper() + word[1:])


def ids_of(name: str) -> tuple[str, ...]:
    """Return the ids of the models that a short name means, in any case; none for other texts."""
    return _ids_by_short_name().get(name.casefold(), ())


@cache
def _ids_by_short_name() -> dict[str, tuple[str, ...]]:
    every = {model_id for ids in _ids_by_name().values() for model_id in ids}
    return {short_name(model_id).casefold(): (model_id,) for model_id in every}


@cache
def _ids_by_name() -> dict[str, set[str]]:
    ids: defaultdict[str, set[str]] = defaultdict(set)
    with (resources.SQL / "seeds" / "list_prices.csv").open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            model_id = line.partition(",")[0]
            ids[_parts(model_id)[0]].add(model_id)
    return ids
