"""What can go wrong with stored models.

ModelStoreError
    NameInvalid     the name of a model or an alias, or "name@version", is none: write it otherwise
    ModelNotFound   no such model, version or alias: look at what the store holds
    ModelRefused    a version is damaged, foreign or computes wrong answers: publish it again
    AliasMoved      the alias no longer points where the caller thought: look again and decide anew
    AliasLimit      a model has as many aliases as it may: delete one that nobody asks for
"""


class ModelStoreError(Exception):
    """Is the parent of all errors of this room; its text says what is wrong and what to do.

    Attributes:
        facts: What of the text changes from one error to the next, by name, for programs.
    """

    def __init__(self, message: str, **facts: str) -> None:
        super().__init__(message)
        self.facts = facts

    @property
    def for_log(self) -> str:
        """What a log may have of it: all but what callers wrote, since a store knows no customer."""
        return str(self)


class _OfCallers(ModelStoreError):
    """An error whose text quotes what somebody asked for, which may be anything."""

    @property
    def for_log(self) -> str:
        """What kind of error it is."""
        return type(self).__name__


class NameInvalid(_OfCallers):
    """A name of a model or an alias does not match `[a-z][a-z0-9_-]{0,62}`, or a version is no number.

    Facts: `field`, `expected`, `got`.
    """


class ModelNotFound(_OfCallers):
    """The store holds no such model, version or alias.

    Facts: `model`, `available`.
    """


class ModelRefused(ModelStoreError):
    """A stored version failed verification; it must never answer."""


class AliasMoved(_OfCallers):
    """An alias points elsewhere than the caller expected; nothing was changed.

    Facts: `alias`, `expected_version`, `current_version`; 0 for none.
    """


class AliasLimit(_OfCallers):
    """A model has as many aliases as it may; nothing was changed.

    Facts: `alias`, `limit`.
    """
