"""Arrays and words that all of training shares."""

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
"""Numbers; the shape stands where they are named."""

Ints: TypeAlias = npt.NDArray[np.int64]
"""Indices and counts."""

Bools: TypeAlias = npt.NDArray[np.bool_]
"""Masks."""

Codes: TypeAlias = npt.NDArray[np.int64]
"""What belongs together has the same number."""

Space: TypeAlias = Literal["LOG_ODDS", "PROBABILITY"]
"""What the trees' own output is, and what an explanation splits."""
