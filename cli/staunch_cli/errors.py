"""What a command says instead of a traceback."""


class CommandError(Exception):
    """A command cannot do what it was asked for; the message is one line that says what to do."""
