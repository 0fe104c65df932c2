"""The command `staunch`.

`main.py` knows every command by name and imports its module only when it is asked for, so that `staunch
predict` loads no training library and a broken extra breaks nothing else.

- `commands` has one file a command: its flags as a frozen dataclass, and what it does with them.
- `shared` is what several commands need: arguments, the database, the server to call, views.
- `printing` is what people read: columns, bars, progress, reports, files.

The command may import every room, the heavy ones only within functions; nobody imports the command. To
add one: a file in `commands`, and its line in `main.py`.
"""
