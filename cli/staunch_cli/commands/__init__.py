"""One file a command: its parser, a frozen dataclass of what was parsed, and what it does with that.

Only the module of the command that was asked for is imported. What two commands need lies in `shared`.
"""
