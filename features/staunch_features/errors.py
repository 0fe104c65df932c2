"""What can go wrong between SQL and numbers, as one small tree.

FeatureError
├── DatabaseUnavailable     wait and try again
│   ├── DatabaseRefused     mend role, password or the database's name, here or there
│   └── DatabaseUrlInvalid  mend the URL
├── DatabaseTooOld          give it a newer PostgreSQL
├── MigrationError          mend the schema or the migrations
├── EmbeddedPostgresError   mend the machine: port, folder, binaries
├── DraftError              name another table, or say what cannot be guessed
└── ViewError               mend the SQL of the view
    ├── RowsNotUnique       the same, but for one id: others may be well
    └── RowNotAsked         the same, for a key that the view takes for another
"""

import json
import re
import signal

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What ends a line, moves the cursor of a terminal or turns the writing round: no text of others has it where
people read it, in a log or a picture, on a terminal or in an error."""

_PLAIN_NAME = re.compile(r"[\w?$.…-]+")
_SHELLS_BASE = 128  # a shell adds it to the number of the signal that killed its command


class FeatureError(Exception):
    """The root of all errors of this package."""

    @property
    def for_log(self) -> str:
        """What a log may have of it: no id and no value of a customer."""
        return str(self)


class DatabaseUnavailable(FeatureError):
    """The database does not answer, refuses us or went away; it may be back later."""


class DatabaseRefused(DatabaseUnavailable):
    """The database answers and refuses us by what our URL says; somebody has to change one of them."""


class DatabaseUrlInvalid(DatabaseUnavailable):
    """The URL of the database cannot be meant as it stands."""


class DatabaseTooOld(FeatureError):
    """The server is older than the oldest PostgreSQL that we support."""


class MigrationError(FeatureError):
    """The schema cannot be brought to the newest version."""


class EmbeddedPostgresError(FeatureError):
    """The PostgreSQL that we bring along cannot be found, initialised or started."""


class DraftError(FeatureError):
    """No view can be drafted from a table: it is not there, or what the view needs cannot be guessed."""


class ViewError(FeatureError):
    """A feature view or label text cannot be used as it stands.

    Attributes:
        file: The file that holds the text.
        line: The line in it, counted from 1, where known.
        message: What was expected and what came.
        hint: What to do about it.

    Args:
        file: As the attribute.
        line: As the attribute.
        message: As the attribute.
        hint: As the attribute.
        for_log: What a log may have in place of message and hint; the same where these hold nothing that was
            read of customers.
    """

    def __init__(
        self, file: str, line: int | None, message: str, hint: str, *, for_log: str | None = None
    ) -> None:
        place = file if line is None else f"{file}:{line}"
        super().__init__(f"{place}: {message}; {hint}")
        self.file = file
        self.line = line
        self.message = message
        self.hint = hint
        self._for_log = f"{place}: {for_log or f'{message}; {hint}'}"

    @property
    def for_log(self) -> str:
        """What a log may have of it: no id and no value of a customer."""
        return self._for_log


class RowsNotUnique(ViewError):
    """A feature view gave more than one row for an id, which the message names."""


class RowNotAsked(ViewError):
    """A feature view gave a row for an id that was not asked for, as one that ignores case does."""


def shown(name: str) -> str:
    """Returns a name of others as it stands in a message: quoted and escaped, unless it is plain.

    So it is one name, however odd, and cannot pass for more of the message than that.
    """
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name)


def log_text(error: BaseException) -> str:
    """Returns what a log may have of an exception: its words if its class answers for them, else its name.

    Nobody knows what others wrote into theirs: `KeyError: 42` names a customer, and the database's own words
    quote rows. Classes of ours say by `for_log` what is fit to be kept; what the system says of files and
    addresses is.
    """
    kind = type(error).__name__
    text = getattr(error, "for_log", None)
    if text is None and isinstance(error, OSError | ImportError):
        text = str(error)
    if text:
        return str(text)
    sqlstate = getattr(error, "sqlstate", None)
    return f"{kind} (SQLSTATE {sqlstate})" if sqlstate else kind


def ending(code: int) -> str:
    """Returns how a process ended, in words: "was killed by SIGSEGV" or "ended with 3".

    Args:
        code: As `subprocess` gives it, below 0 for a signal; or as a shell does, above 128 for one.
    """
    number = -code if code < 0 else code - _SHELLS_BASE
    try:
        name = signal.Signals(number).name
    except ValueError:  # no signal, or one without a name
        return f"was killed by signal {number}" if code < 0 else f"ended with {code}"
    why = ", as the kernel does when memory runs out" if number == signal.SIGKILL else ""
    return f"was killed by {name}{why}"
