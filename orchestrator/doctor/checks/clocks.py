"""Checks of the clocks. A difference ends no lease, but falsifies every time that is shown or compared."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.common.formatting import duration, listed
from orchestrator.doctor.facts import Facts
from orchestrator.doctor.finding import Code, Finding

APART = 5.0
"""Seconds."""


def check(facts: Facts) -> Iterator[Finding]:
    """Yields the findings about the clocks of servers, control plane and workers, against this host's."""
    clocks = {"Redis": facts.redis.clock, "the database": facts.database.clock}
    clocks["the control plane"] = facts.redis.writers_clock
    clocks |= {f"worker {each.name}": each.clock for each in facts.workers.workers}
    known = {name: clock for name, clock in clocks.items() if clock is not None}
    apart = {name: clock for name, clock in known.items() if abs(clock.offset) - clock.within > APART}
    for name, clock in apart.items():
        direction = "ahead of" if clock.offset > 0 else "behind"
        yield Code.CLOCK_APART.finding(
            name,
            f"its clock is {duration(abs(clock.offset))} {direction} this host's; no lease ends by that, but the times "
            "of trials and the ages shown here are wrong by as much",
            "set both by NTP: timedatectl set-ntp true",
            command="timedatectl set-ntp true",
        )
    if alike := [name for name in known if name not in apart]:
        yield Code.CLOCKS.finding("clocks", f"within {APART:g} s of this host's: {listed(alike)}")
