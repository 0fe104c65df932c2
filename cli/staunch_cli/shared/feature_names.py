"""What is said to who names a feature that there is not: what is called nearly so, by name or by title."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from staunch_cli.shared.errors import CommandError


def unknown_feature(
    asked: str, titles: Mapping[str, Collection[str]], expected: str, where_listed: str
) -> CommandError:
    """Returns the refusal of a name that is no feature's, with the nearest there are.

    Args:
        asked: The name as typed.
        titles: The names of the features, each with what people call it in any language.
        expected: What was expected, "a feature of churn with --feature".
        where_listed: The command that lists the names.
    """
    near = _nearest(asked, titles)
    hint = f"did you mean {' or '.join(near)}?" if near else f"`{where_listed}` lists them"
    return CommandError(f"expected {expected}, got {asked!r}: {hint}")


def _nearest(asked: str, titles: Mapping[str, Collection[str]]) -> list[str]:
    """The names, at most three, of what is called nearly as was asked; one alone if it is called just so."""
    words = {title.lower(): name for name, called in titles.items() for title in called if title}
    words |= {name.lower(): name for name in titles}  # a name before another one's title
    if asked.lower() in words:
        return [words[asked.lower()]]
    near = get_close_matches(asked.lower(), words, n=6, cutoff=0.6)
    return list(dict.fromkeys(words[word] for word in near))[:3]
