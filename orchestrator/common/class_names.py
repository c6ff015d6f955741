"""Names of things that Optuna has and a user may have written: short ones that are known, or ``module:Class``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from orchestrator.common.errors import did_you_mean
from orchestrator.common.faults import Fault, show
from orchestrator.common.field_types import split_reference


def check_foreign(name: str, word: str, known: Iterable[str], also_called: Mapping[str, str]) -> None:
    """Passes a reference to a class; what is neither that nor known gets the nearest name.

    Args:
        name: What the spec says, and is not known.
        word: What it would be, such as ``pruner``.
        known: The names there are.
        also_called: Names of the same elsewhere.

    Raises:
        Fault: it is no reference.
    """
    names = tuple(known)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", re.split(r"[.:]", name[:100])[-1]).lower()
    plain = words.replace("-", "_").removesuffix(word).rstrip("_")
    ours = plain if plain in names else also_called.get(plain)
    if ":" not in name and ours is not None:
        raise Fault(f"there is no {show(name)}", f"here it is called '{ours}'", ("name",))
    if ":" in name or "." in name:
        try:
            split_reference(name, "module:Class", f"mypackage.{word}s:My{word.capitalize()}")
        except Fault as fault:
            raise Fault(fault.problem, fault.remedy, ("name",)) from None
        return
    remedy = did_you_mean(plain, names)
    if not remedy.startswith("did"):
        remedy = f"{remedy}, or 'module:Class', any {word} of Optuna's kind"
    raise Fault(f"there is no {show(name)}", remedy, ("name",))
