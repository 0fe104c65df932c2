"""Texts as numbers: what reads as a number, and a code for each value where they are few."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from staunch_features.drafts.answers import yes_no_values
from staunch_features.drafts.feature import Feature, Found, Outcome
from staunch_features.drafts.names import literal, shown

MAX_CODES = 60
"""The most values that a category may have; each gets a number of its own."""

MAX_LABELS = 200
"""The same for an enum, whose values somebody chose."""

_FEW = 5  # so many values are a category however few rows there are
_LONGEST_VALUE = 80  # letters
# What a cast to float8 takes, and no number that is too large for a learner.
_NUMBER = r"[ ]*[-+]?([0-9]{1,25}[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9])?[ ]*"
_CODE_WITH_ZEROS = re.compile(r" *0[0-9]")
_DAY = re.compile(r" *\d{4}-\d\d-\d\d([T ].*)? *", re.DOTALL)

_NEITHER = "missing, or neither of the two"
_NOT_LISTED = "missing, or a value without a number here"


def enum_feature(found: Found) -> Outcome:
    """Drafts the feature of an enum: a code for each label, in the enum's own order."""
    labels = found.column.labels
    if len(labels) > MAX_LABELS:
        return f"an enum of {len(labels)} values: too many to be a category"
    return [_coded(found, f"{found.value}::text", labels)]


def text_feature(found: Found, value: str) -> Outcome:
    """Drafts the feature of a text: a number if all of them are, else a code for each value if there are few.

    Args:
        found: The column or the value within json.
        value: The SQL that is compared with texts.
    """
    counts = Counter(text for text in found.texts if text is not None and text.strip())
    if not counts:
        return "holds nothing in the rows looked at"
    if all(map(_is_number, counts)):
        sql = f"CASE WHEN {value} ~ '^{_NUMBER}$' THEN {value}::float8 END"
        return [found.feature(sql, f"{found.title}.", null="missing, or not a number")]
    if all(map(_DAY.fullmatch, counts)):
        return "texts that look like dates: make them dates in a view of the database, and draft from that"
    if not _is_category(counts):
        many = f"{len(counts):,} different texts in {sum(counts.values()):,} rows"
        return f"{many}: too many to be a category"
    ordered = sorted(counts)
    if (pair := yes_no_values(set(counts))) is not None:
        return [_yes_or_no(found, value, *pair)]
    return [_coded(found, value, ordered)]


def _is_number(text: str) -> bool:
    return re.fullmatch(_NUMBER, text) is not None and not _CODE_WITH_ZEROS.match(text)


def _is_category(counts: Mapping[str, int]) -> bool:
    if max(map(len, counts)) > _LONGEST_VALUE or len(counts) > MAX_CODES:
        return False
    # Names and addresses of a small table are few too, and each stands there once.
    return len(counts) <= _FEW or 2 * len(counts) <= sum(counts.values())


def _yes_or_no(found: Found, value: str, yes: frozenset[str], no: frozenset[str]) -> Feature:
    codes = [f"WHEN {literal(one)} THEN {code}" for code, some in ((1, yes), (0, no)) for one in sorted(some)]
    one, zero = (" or ".join(map(shown, sorted(some))) for some in (yes, no))
    meaning = f"{found.title}: 1 if {one}, 0 if {zero}."
    feature = found.feature(f"CASE {value} {' '.join(codes)} END", meaning, null=_NEITHER)
    return replace(feature, labels={0: " or ".join(sorted(no)), 1: " or ".join(sorted(yes))})


def _coded(found: Found, value: str, values: Sequence[str]) -> Feature:
    codes = " ".join(f"WHEN {literal(one)} THEN {code}" for code, one in enumerate(values, 1))
    meanings = ", ".join(f"{code} {shown(one)}" for code, one in enumerate(values, 1))
    feature = found.feature(f"CASE {value} {codes} END", f"{found.title}: {meanings}.", null=_NOT_LISTED)
    return replace(feature, labels=dict(enumerate(values, 1)))
