"""Values with their errors: no digit that the error leaves unknown."""

from __future__ import annotations

import math

import pytest

from orchestrator.common.formatting import with_error


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.91234, 0.02, "0.91 ± 0.02"),
        (0.6873, 0.06048, "0.69 ± 0.06"),
        (0.2012, 0.01395, "0.201 ± 0.014"),
        (0.5, 0.0999, "0.50 ± 0.10"),
        (0.4878, 0.1985, "0.5 ± 0.2"),
        (-3.14159, 1.26, "-3.1 ± 1.3"),
        (12.5, 9.7, "12 ± 10"),
        (1234.5, 120.0, "1234 ± 120"),
        (1e20, 3e18, "1e+20 ± 3e+18"),
        (1.5e-9, 2e-11, "1.5e-09 ± 2e-11"),
        (0.85, 0.0, "0.85 ± 0"),
        (math.nan, 0.1, "nan ± 0.1"),
        (0.5, math.inf, "0.5 ± inf"),
    ],
)
def test_digits(value: float, error: float, expected: str) -> None:
    assert with_error(value, error) == expected
