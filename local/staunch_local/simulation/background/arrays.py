"""The arrays of the simulation, by what they hold."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
"""Whole numbers: times, dates, cents, codes, row numbers."""

Floats: TypeAlias = NDArray[np.float64]
"""Chances, shares and the strengths of influences."""

Bools: TypeAlias = NDArray[np.bool_]
"""Which of the customers, lines or rows."""

Bytes: TypeAlias = NDArray[np.uint8]
"""Raw bytes: UUIDs and encoded rows."""
