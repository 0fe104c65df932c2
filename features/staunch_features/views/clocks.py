"""Refuses texts that answer differently at another time: by a clock or by chance, wherever that hides.

What a text says is read from itself. What the views of the database give it is read from its plan, where they
are spread out. What the functions do that it calls is read from theirs, and so on with what those use.
"""

from collections.abc import Sequence

from staunch_features.errors import ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.clock_words import Name, references_in, references_in_expression
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.planner import planned, strings_in
from staunch_features.views.reached_code import Code, reached_code


async def refuse_clocks(
    connection: Connection,
    text: FeatureView | LabelText,
    sql: str,
    arguments: Sequence[object],
    *,
    deadline: Deadline,
) -> None:
    """Refuses a text that reads the clock or is random, also within the functions and views that it uses.

    Not seen is what a function puts together as a string and executes, what functions in languages other than
    SQL and PL/pgSQL do, and what stands behind an operator or a cast.

    Args:
        connection: Where to ask.
        text: The view or label.
        sql: Its statement as it is sent.
        arguments: One for each parameter, none of them null.
        deadline: Until when all questions may take together.

    Raises:
        ViewError: It does; what, where, and the mend.
        TimeoutError: The answers did not come in time.
    """
    own = references_in(text.statement)
    for line, clock in own.clocks:
        raise _refusal(text, line, clock, None)
    plan = await planned(connection, text, sql, arguments, timeout_s=deadline.left_or_raise())
    shown = [references_in_expression(each) for each in dict.fromkeys(strings_in(plan))]
    calls = frozenset[Name]().union(*(each.calls for each in shown))
    reached = await reached_code(connection, own, calls, deadline)
    for code in reached:
        if code.counts and code.clocks:
            raise _refusal(text, code.line_in(text), code.clocks[0], code.holder())
    for clock in (clock for each in shown for _, clock in each.clocks):
        # The text does not say it itself: it stands in a view of the database that the text reads.
        holder = next((code for code in reached if clock in code.clocks), None)
        raise _refusal(text, holder.line_in(text) if holder else None, clock, holder)


def _refusal(text: FeatureView | LabelText, line: int | None, clock: str, code: Code | None) -> ViewError:
    """Says what answers differently; `code` is what holds the clock, None for the text itself."""
    moment, differ = "the as-of time $2::timestamptz", "training and serving would differ"
    if isinstance(text, LabelText):
        moment, differ = "$3 and $4, where the outcome window begins and ends,", "no label could be had twice"
    if code is None:
        what, hint = f"{clock} answers", f"use {moment} for the moment, and nothing that is random"
    elif code.name == clock:
        what = f"{code.place()} is VOLATILE and may answer"
        hint = f"if it depends on its arguments and the rows alone, ALTER FUNCTION {clock} STABLE"
    elif code.kind == "function":
        what = f"{clock} in {code.place()} answers"
        hint = f"let the function take the moment as an argument, and use {moment} for it"
    else:
        what = f"{clock} in {code.place()} answers"
        hint = f"read the tables behind that view, and use {moment} for the moment"
    return ViewError(
        file=text.file, line=line, message=f"{what} differently at another time, so {differ}", hint=hint
    )
