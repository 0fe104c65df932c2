"""What became of a process, in words."""

import pytest

from staunch_features.errors import ending


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
