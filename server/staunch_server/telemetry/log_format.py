"""The format of the log, found out before the settings are read: what is wrong with them is said in it."""

import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

from pydantic_settings import SettingsConfigDict

from staunch_server.setting_names import PREFIX
from staunch_server.settings import Sourced

_FLAG = "--log-format"


class _LogFormat(Sourced):
    """The format alone, from where settings come, whatever is wrong with the others."""

    model_config = SettingsConfigDict(extra="ignore")

    log_format: str = "text"


def asked_log_format(words: Sequence[str] = ()) -> str:
    """Returns the format of the log that is asked for, "json" or "text", even where other settings are wrong.

    Args:
        words: The flags of the command.
    """
    asked = os.environ.get(f"{PREFIX}LOG_FORMAT", "")  # which is to be had whatever is wrong with a file
    for word, after in pairwise([*words, ""]):
        flag, has_value, value = word.partition("=")
        if flag == _FLAG:
            asked = value if has_value else after
    # What is wrong with the sources is refused, in words of ours, by who reads the settings.
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        asked = asked or _LogFormat().log_format
    return "json" if asked == "json" else "text"
