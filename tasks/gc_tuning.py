"""Importing what is large without looking for garbage in it all the time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = 20_000
"""New objects after which Python looks for garbage; 700 without this. Imports make a great many, and all of them stay:
looking through them again and again is an eighth of the time that importing torch takes."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Has Python look for garbage rarely; whatever was set meanwhile stays."""
    before = gc.get_threshold()
    raised = (RARELY, *before[1:])
    gc.set_threshold(*raised)
    try:
        yield
    finally:
        if gc.get_threshold() == raised:
            gc.set_threshold(*before)
