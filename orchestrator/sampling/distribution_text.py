"""Distributions as JSON and back, remembered: most trials of a study have the same ones."""

from __future__ import annotations

from functools import lru_cache

import optuna
from optuna.distributions import BaseDistribution

_LONGEST = 2_000
"""Characters of a text that is remembered; long ones are lists of choices."""

_MOST = 2_000
"""Distributions that are remembered."""

_texts: dict[int, tuple[BaseDistribution, str]] = {}


def to_text(distribution: BaseDistribution) -> str:
    """Returns the JSON of a distribution."""
    # By identity: to hash one takes as long as to encode it.
    known = _texts.get(id(distribution))
    if known is not None and known[0] is distribution:
        return known[1]
    text = optuna.distributions.distribution_to_json(distribution)
    if len(text) <= _LONGEST:
        if len(_texts) >= _MOST:
            _texts.clear()
        _texts[id(distribution)] = distribution, text
    return text


def from_text(text: str) -> BaseDistribution:
    """Returns the distribution. Errors are those of ``json_to_distribution``."""
    return _remembered(text) if len(text) <= _LONGEST else optuna.distributions.json_to_distribution(text)


_remembered = lru_cache(maxsize=_MOST)(optuna.distributions.json_to_distribution)
