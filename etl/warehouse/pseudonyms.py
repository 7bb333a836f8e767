"""Forgotten names: what replaces them, and how they stay forgotten.

The warehouse does not keep the names. It keeps a random key and a keyed hash of each name, which is
enough to recognise the name when it appears again. It keeps patterns as they are. Anyone who has
the file and guesses a name can therefore find out whether it was forgotten.

A *name* matches a whole run of letters, digits and ``_+.@-`` within a text, as in ARNs, user agents
and metadata, or several runs in a row for a name with other characters. It never matches part of a
run: ``bob`` is not in ``bob.marley@example.com``. Case does not matter, but each spelling of a name
has its own pseudonym, so texts that differed before still differ.
"""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlite_utils import Database

from etl.normalise.fields import mapping
from etl.normalise.identity import find_identity
from etl.normalise.rows import Event
from etl.normalise.rules import Rule

_PART = re.compile(r"\w(?:[\w+.@-]*\w)?")
# In a rule's pattern, a name next to a wildcard is only part of a name.
_GLOB_PART = re.compile(r"[\w*?\[\]{}!](?:[\w+.@*?\[\]{}!-]*[\w*?\[\]{}!])?")
_PSEUDONYM = re.compile(r"forgotten-[0-9a-f]{12}")

# Words that occur in ARNs and in our own columns and are not names.
RESERVED = frozenset(
    {
        *("arn", "aws", "aws-cn", "aws-us-gov", "iam", "sts", "user", "role", "assumed-role"),
        *("federated-user", "root", "unknown", "unattributed", "application"),
    }
)

# The keys of a raw event whose values decide more than the caller: they are not replaced.
_KEPT_KEYS = frozenset({"modelId", "eventID", "requestID", "requestId", "eventTime", "timestamp"})

_MAX_CACHED = 50_000


class Forgotten:
    """The forgotten names of one warehouse. Falsy if there are none."""

    def __init__(
        self, secret: bytes, hashes: Mapping[bytes, int], patterns: Iterable[str] = ()
    ) -> None:
        """``hashes``: the hash of each name, and the number of its parts."""
        self._secret, self._hashes = secret, hashes
        self._patterns = [re.compile(fnmatch.translate(p.casefold())) for p in patterns]
        self._spans = sorted({1, *hashes.values()}, reverse=True)
        self._texts: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._hashes or self._patterns)

    def is_forgotten(self, name: str) -> bool:
        """Return whether a text as a whole is a forgotten name."""
        folded = name.casefold()
        if folded in RESERVED or _PSEUDONYM.fullmatch(name):
            return False
        if self._hashes and self.hash_of(name) in self._hashes:
            return True
        # A pattern matches one part: "*@example.com" must not include what precedes the name.
        return bool(
            self._patterns
            and _PART.fullmatch(name)
            and any(pattern.match(folded) for pattern in self._patterns)
        )

    def hash_of(self, name: str) -> bytes:
        """Return the hash that the warehouse keeps of a name."""
        return hmac.digest(self._secret, b"name\0" + _bytes(name.casefold()), hashlib.sha256)

    def pseudonym(self, name: str) -> str:
        """Return the pseudonym of a name, always the same one."""
        if _PSEUDONYM.fullmatch(name):
            return name
        digest = hmac.new(self._secret, b"pseudonym\0" + _bytes(name), hashlib.sha256)
        return f"forgotten-{digest.hexdigest()[:12]}"

    def text(self, text: str) -> str:
        """Return a text with its forgotten names replaced by pseudonyms."""
        if not self:
            return text
        found = self._texts.get(text)
        if found is None:
            if len(self._texts) >= _MAX_CACHED:
                self._texts.clear()
            found = self._texts[text] = self._replaced(text, _PART)
        return found

    def found_in(self, *texts: str) -> bool:
        """Return whether any of the texts contains a forgotten name."""
        return any(self.text(text) != text for text in texts)

    def text_or_none(self, text: str | None) -> str | None:
        """Return the same for a text that may be missing."""
        return None if text is None else self.text(text)

    def json(self, text: str) -> str:
        """Return a JSON text with the names in its strings replaced, in the same format."""
        value = json.loads(text)
        replaced = self.value(value)
        if replaced == value:
            return text
        is_compact = ": " not in json.dumps(value, separators=(",", ":")) and ": " not in text
        separators = (",", ":") if is_compact else None
        return json.dumps(replaced, ensure_ascii=False, sort_keys=True, separators=separators)

    def value(self, value: Any) -> Any:
        """Return a JSON value with the names in its strings replaced."""
        match value:
            case str():
                return self.text(value)
            case list():
                return [self.value(item) for item in value]
            case dict():
                return {
                    self.text(key): item if key in _KEPT_KEYS else self.value(item)
                    for key, item in value.items()
                }
        return value

    def event(self, event: Event) -> Event:
        """Return a call without forgotten names, nor a forgotten user's session and address."""
        if not self:
            return event
        metadata, session = event.request_metadata, self.text_or_none(event.session_name)
        address = self.text_or_none(event.source_address)
        if self.is_forgotten(event.user_name):
            session = None if session is None else self.pseudonym(session)
            address = None if address is None else self.pseudonym(address)
        return event._replace(
            principal_arn=self.text(event.principal_arn),
            session_name=session,
            user_agent=self.text_or_none(event.user_agent),
            user_name=self.text(event.user_name),
            application=self.text(event.application),
            request_metadata=None if metadata is None else self.json(metadata),
            source_address=address,
        )

    def record(self, record: Any) -> Any:
        """Return a raw event without forgotten names, for display."""
        if not self:
            return record
        identity, _ = find_identity(mapping(record).get("userIdentity"))
        shown = self.value(record)
        if identity.session_name and self.is_forgotten(identity.user_name):
            session, pseudonym = identity.session_name, self.pseudonym(identity.session_name)
            shown = json.loads(json.dumps(shown).replace(json.dumps(session)[1:-1], pseudonym))
        return shown

    def rule(self, rule: Rule) -> Rule:
        """Return a rule that still matches the users it names."""
        return rule.with_texts(self.text, lambda glob: self._replaced(glob, _GLOB_PART))

    def _replaced(self, text: str, part: re.Pattern[str]) -> str:
        parts = [found.span() for found in part.finditer(text)]
        pieces, done, at = [], 0, 0
        while at < len(parts):
            start, step = parts[at][0], 1
            for span in self._spans:
                if at + span > len(parts):
                    continue
                name = text[start : parts[at + span - 1][1]]
                if self.is_forgotten(name):
                    pieces += [text[done:start], self.pseudonym(name)]
                    done, step = start + len(name), span
                    break
            at += step
        return "".join([*pieces, text[done:]])


_NONE_FORGOTTEN = Forgotten(b"", {})


def forgotten_in(db: Database) -> Forgotten:
    """Return the forgotten names of a warehouse."""
    key = db.conn.execute("select secret from forget_key").fetchone()
    if key is None:
        return _NONE_FORGOTTEN
    hashes = dict(db.conn.execute("select name_hash, parts from forgotten_names").fetchall())
    patterns = [p for (p,) in db.conn.execute("select pattern from forgotten_patterns")]
    return Forgotten(key[0], hashes, patterns)


def trimmed(name: str) -> str:
    """Return a name in the form that can be found in a text; empty if there is none."""
    parts = list(_PART.finditer(name))
    return name[parts[0].start() : parts[-1].end()] if parts else ""


def part_count(name: str) -> int:
    """Return the number of parts of a name: runs of letters and digits."""
    return len(_PART.findall(name))


def is_pattern(name: str) -> bool:
    """Return whether a name has wildcards."""
    return any(character in name for character in "*?[")


def replacing(forgotten: Forgotten, kind: str) -> Callable[[str], str]:
    """Return the function that replaces names in texts of a kind of column."""
    return forgotten.json if kind == "json" else forgotten.text


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
