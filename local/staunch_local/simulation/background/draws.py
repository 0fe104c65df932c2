"""Chance that depends on nothing but its key, so that a world can be drawn again and gone on with."""

import enum

import numpy as np

from staunch_local.simulation.background.arrays import Bools, Bytes, Floats, Ints
from staunch_local.simulation.background.clock import DAY, MINUTE, SECOND

_LATE_MEANS_US = (12.0 * DAY, 1.0 * DAY, 1.5 * MINUTE)
_LATE_LONGEST_US = 40.0 * DAY


class Topic(enum.IntEnum):
    """What a stream of draws is for; part of its key."""

    PEOPLE = 1
    MONTHS = 2
    MARKET = 3
    PLACES = 4
    FATE = 5


class Draws:
    """One stream of draws, keyed by seed, topic, block and month.

    The generator is counter-based (Philox), so no stream depends on how much another one has drawn.

    Args:
        seed: The world's seed, from 0 to 2^63 - 1.
        topic: What the draws are for.
        block: Number of the block of customers, below 2^40.
        month: Number of the month, below 2^15.
    """

    def __init__(self, seed: int, topic: Topic, block: int = 0, month: int = 0) -> None:
        key = np.array([seed, topic << 56 | block << 16 | month], dtype=np.uint64)
        self._generator = np.random.Generator(np.random.Philox(key=key))

    def uniform(self, size: int) -> Floats:
        """Returns numbers in [0, 1)."""
        return self._generator.random(size)

    def normal(self, size: int) -> Floats:
        """Returns numbers of mean 0 and standard deviation 1."""
        return self._generator.standard_normal(size)

    def exponential(self, mean: float, size: int) -> Floats:
        """Returns numbers above 0 of a mean."""
        return -mean * np.log1p(-self.uniform(size))

    def integers(self, low: int, high: int, size: int) -> Ints:
        """Returns whole numbers from `low` up to but not including `high`."""
        return low + np.floor(self.uniform(size) * (high - low)).astype(np.int64)

    def happens(self, chance: Floats) -> Bools:
        """Returns for each chance whether it came true."""
        return self.uniform(len(chance)) < chance

    def pick(self, weights: Floats, size: int) -> Ints:
        """Returns positions in `weights`, each as often as it weighs."""
        steps = np.cumsum(weights) / np.sum(weights)
        return np.minimum(np.searchsorted(steps, self.uniform(size), side="right"), len(weights) - 1)

    def pick_by(self, weights: Floats, row: Ints) -> Ints:
        """Returns a column for each given row of `weights`, each as often as it weighs; rows sum to 1."""
        steps = np.cumsum(weights, axis=1)[row, :-1]
        column: Ints = (self.uniform(len(row))[:, None] >= steps).sum(axis=1)
        return column

    def uuids(self, size: int) -> Bytes:
        """Returns random UUIDs (version 4), shape (size, 16)."""
        drawn = np.frombuffer(self._generator.bytes(16 * size), dtype=np.uint8).reshape(size, 16).copy()
        drawn[:, 6] = drawn[:, 6] & 0x0F | 0x40
        drawn[:, 8] = drawn[:, 8] & 0x3F | 0x80
        return drawn

    def delay(self, size: int) -> Ints:
        """Returns how much later than its event a row is recorded, in microseconds.

        Mostly a minute or two, one row in fifty about a day, one in three hundred about twelve days.
        """
        chance = self.uniform(size)
        mean = np.where(chance < 0.0033, _LATE_MEANS_US[0], _LATE_MEANS_US[2])
        mean = np.where((chance >= 0.0033) & (chance < 0.02), _LATE_MEANS_US[1], mean)
        return SECOND + np.minimum(self.exponential(1.0, size) * mean, _LATE_LONGEST_US).astype(np.int64)
