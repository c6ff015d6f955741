"""Checks that turn facts into findings, one module for each group. Pure: no server, no clock, no file."""

from __future__ import annotations

from orchestrator.doctor.checks import control, database, installation, redis, stream, studies, workers
from orchestrator.doctor.facts import Facts
from orchestrator.doctor.finding import Finding, Group

_CHECKS = (
    installation.check,
    installation.check_clocks,
    redis.check,
    database.check,
    control.check,
    workers.check,
    stream.check_queues,
    stream.check_stream,
    studies.check,
)


def findings(facts: Facts) -> list[Finding]:
    """Returns all findings, group by group."""
    found = [finding for check in _CHECKS for finding in check(facts)]
    order = list(Group)
    return sorted(found, key=lambda finding: order.index(finding.group))
