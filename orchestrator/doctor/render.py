"""Renders findings as a table and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestrator.common.formatting import count, one_line
from orchestrator.doctor.facts import Facts
from orchestrator.doctor.finding import Finding, Severity

STYLES = {
    Severity.OK: "green",
    Severity.NOTE: "cyan",
    Severity.WARNING: "yellow",
    Severity.PROBLEM: "bold red",
}


def render(findings: Sequence[Finding], mended: Sequence[str] | None = None) -> RenderableType:
    """Returns the findings by group, what was mended before them, and a line that sums up.

    Args:
        findings: In the order of their groups.
        mended: The repairs that were done; ``None`` without ``--repair``.
    """
    parts: list[RenderableType] = []
    for line in mended or ():
        parts.append(Text.assemble(("mended   ", "bold"), one_line(line)))
    if mended is not None:
        parts.append(Text("" if mended else "nothing to mend\n"))
    groups = dict.fromkeys(finding.group for finding in findings)
    for group in groups:
        parts.append(Text(group, style="bold"))
        parts.append(Padding(_table([each for each in findings if each.group == group]), (0, 0, 0, 2), expand=False))
    return Group(*parts, Text(""), _sum(findings))


def to_json(facts: Facts, findings: Sequence[Finding], mended: Sequence[str] | None = None) -> dict[str, Any]:
    """Returns all of it as plain data; ages and times in seconds."""
    data: dict[str, Any] = {
        "ok": not has_problem(findings),
        "findings": [
            {
                "code": each.code.value,
                "severity": each.severity.value,
                "group": each.group.value,
                "about": each.about,
                "text": each.text,
                "details": list(each.details),
                "remedy": each.remedy,
                "command": each.command or None,
                "repairable": each.repair is not None,
            }
            for each in findings
        ],
        "facts": msgspec.to_builtins(facts),
    }
    return data if mended is None else data | {"mended": list(mended)}


def has_problem(findings: Sequence[Finding]) -> bool:
    """Whether a finding is a problem."""
    return any(finding.severity is Severity.PROBLEM for finding in findings)


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(width=8, no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = STYLES[finding.severity]
        table.add_row(Text(finding.severity, style=style), _what(finding))
        if finding.severity is Severity.OK:
            continue
        for detail in finding.details:
            table.add_row("", Text(one_line(detail), style="dim"))
        mends = ("  (--repair)", "green") if finding.repair is not None else ""
        if finding.remedy or mends:
            table.add_row("", Text.assemble("→ ", one_line(finding.remedy), mends))
        if finding.command:
            table.add_row("", Text(f"  $ {one_line(finding.command)}", style="bold"))
    return table


def _what(finding: Finding) -> Text:
    about = f"{one_line(finding.about)}: " if finding.about else ""
    code = "" if finding.severity is Severity.OK else f"  [{finding.code}]"
    return Text.assemble((about, "bold"), one_line(finding.text), (code, "dim"))


def _sum(findings: Sequence[Finding]) -> Text:
    counted = Counter(finding.severity for finding in findings)
    wrong = [
        (count(counted[severity], severity.value), STYLES[severity])
        for severity in (Severity.PROBLEM, Severity.WARNING, Severity.NOTE)
        if counted[severity]
    ]
    if not wrong:
        return Text("nothing is wrong", style=STYLES[Severity.OK])
    text = Text(", ").join(Text(words, style=style) for words, style in wrong)
    if any(finding.repair is not None for finding in findings):
        text.append("; --repair does what is marked")
    return text
