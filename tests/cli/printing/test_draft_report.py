"""The commands that come after a draft, as a shell takes them."""

import shlex
from pathlib import Path

from staunch_cli.printing.draft_report import next_commands


def test_a_folder_of_any_name_is_exported_as_the_shell_takes_it(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    lines = next_commands("gym", folder, [], exported=False).splitlines()
    assert shlex.split(lines[-3]) == ["export", f"STAUNCH_VIEWS={folder}"]
    assert [line.strip() for line in lines[-2:]] == ["staunch view check gym", "staunch train --view gym"]


def test_the_last_of_a_flag_counts_and_no_password_is_repeated(tmp_path: Path) -> None:
    given = [("state_folder", "a"), ("state_folder", "b c"), ("database_url", "postgresql://x:secret@y/z")]
    text = next_commands("gym", tmp_path, given, exported=True)
    assert "staunch train --view gym --state-folder 'b c' --database-url URL" in text
    assert "secret" not in text
    assert "export" not in text
