"""What became of a process, in words."""

import pytest

from staunch_features.errors import DatabaseUnavailable, ViewError, ending, log_text, shown


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (3, "ended with 3"),
        (0, "ended with 0"),
        (78, "ended with 78"),
        (-11, "was killed by SIGSEGV"),
        (139, "was killed by SIGSEGV"),
        (-15, "was killed by SIGTERM"),
        (-9, "was killed by SIGKILL, as the kernel does when memory runs out"),
        (137, "was killed by SIGKILL, as the kernel does when memory runs out"),
        (-40, "was killed by signal 40"),
        (128, "ended with 128"),
        (255, "ended with 255"),
    ],
)
def test_an_exit_code_is_told_in_words(code: int, says: str) -> None:
    assert ending(code) == says


class _OfTheDatabase(Exception):
    sqlstate = "23505"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DatabaseUnavailable("the database is away"), "the database is away"),
        (ViewError("a.sql", 3, "got 42", "mend it", for_log="got another"), "a.sql:3: got another"),
        (ViewError("a.sql", None, "no column b", "mend it"), "a.sql: no column b; mend it"),
        (FileNotFoundError(2, "No such file", "a.txt"), "[Errno 2] No such file: 'a.txt'"),
        (ModuleNotFoundError("No module named 'faker'"), "No module named 'faker'"),
        (_OfTheDatabase("Key (customer_id)=(42)"), "_OfTheDatabase (SQLSTATE 23505)"),
        (KeyError(42), "KeyError"),
        (ValueError("tenure is 42"), "ValueError"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_a_log_has_the_words_of_an_error_only_where_its_class_answers_for_them(
    error: Exception, text: str
) -> None:
    assert log_text(error) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tenure_days", "tenure_days"),
        ("?column?", "?column?"),
        ("tenure of größe", '"tenure of gr\\u00f6\\u00dfe"'),
        ("größe", "größe"),
        ('a", "b', r'"a\", \"b"'),
        ("a\nERROR forged", r'"a\nERROR forged"'),
        ("\x1b[31m\u202e", r'"\u001b[31m\u202e"'),
        ("", '""'),
    ],
)
def test_a_name_in_a_message_is_one_name_and_says_nothing_else(name: str, text: str) -> None:
    assert shown(name) == text
