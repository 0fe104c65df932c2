"""Until when a call may take, and what is kept back of its time so that our answer still arrives."""

# The same class for the guard and for the database's connections: who says "until" means one clock.
from staunch_features.postgres.deadlines import Deadline as Deadline

# gRPC rounds a deadline up by as much as 1 % on its way, and on a busy machine the answer takes a while to
# get out: 50 ms and 2 % of the time, at most 15 % of it.
_RESERVE_S = 0.05
_RESERVE_SHARE = 0.02
_RESERVE_MOST = 0.15


def answer_by(caller: Deadline) -> Deadline:
    """When to have answered, a little before the caller gives up and learns nothing.

    This is the one place where time is kept back; whoever is given the result may use all of it.
    """
    left_s = caller.left()
    if left_s <= 0:
        return caller
    share = min(_RESERVE_MOST, _RESERVE_S / left_s + _RESERVE_SHARE)
    return Deadline(caller.at - share * left_s)  # as `keep`, which would look at the clock again
