"""What counts the lines of a log stays no longer than the test that made it; samplers in processes, to be asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from replica_asking import asking, module

__all__ = ["asking", "module"]


@pytest.fixture(autouse=True)
def _no_handlers_stay() -> Iterator[None]:
    before = list(logging.getLogger().handlers)
    yield
    for handler in set(logging.getLogger().handlers) - set(before):
        logging.getLogger().removeHandler(handler)
