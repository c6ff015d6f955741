"""JSON of arbitrary values, and of long lists piece by piece."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def json_list(items: Iterable[Any]) -> Iterator[str]:
    """Yields the text of a JSON list, an item on each line; only one item is in memory."""
    before = "[\n"
    for item in items:
        yield before + json.dumps(item)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"


def plain(value: Any, special: Callable[[float], Any] = lambda _: None) -> Any:
    """Returns the value as JSON can hold it: keys are text, NaN and infinities what ``special`` makes of them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else special(value)
    if isinstance(value, dict):
        return {str(key): plain(item, special) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, special) for item in value]
    return value if value is None or isinstance(value, str | int) else str(value)
