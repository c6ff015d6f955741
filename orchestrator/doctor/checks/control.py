"""Checks of the control plane: its lease, its standbys, its answers to commands, its schedules."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from orchestrator.common.advice import how_to
from orchestrator.common.formatting import duration, listed
from orchestrator.doctor.facts import Facts
from orchestrator.doctor.finding import Code, Finding, FreeLease, Ring, Severity
from orchestrator.doctor.table_facts import Writer


def check(facts: Facts) -> Iterator[Finding]:
    """Yields the findings about the control plane; nothing where the database cannot tell."""
    if facts.database.books is None:
        return
    writer = facts.books.writer
    if writer is not None and writer.active:
        yield Code.CONTROL_PLANE.finding(writer.holder, f"writes in term {writer.term}{_standbys(facts, writer)}")
        yield from _commands(facts)
        yield from _schedules(facts)
        return
    yield _missing(facts)
    if writer is not None and writer.holder and writer.gone:
        yield Code.LEASE_LEFT.finding(
            writer.holder,
            "ended on this host without giving the writer's lease back",
            "the next control plane takes it at once; there is nothing to wait for",
            repair=FreeLease(writer.holder),
        )


def _standbys(facts: Facts, writer: Writer) -> str:
    connected = facts.redis.control_planes
    if facts.setup.alone or not facts.redis.looked_at or connected is None:
        return ""
    others = [name for name in connected if name != writer.holder]
    return f", {len(others)} stand{'s' if len(others) == 1 else ''} by" if others else ", no standby"


def _missing(facts: Facts) -> Finding:
    setup, books = facts.setup, facts.books
    waiting = [each.name for each in books.waiting]
    said = ["no control plane is active"]
    writer = books.writer
    if writer is not None and writer.holder:
        said.append(f"the last one, {writer.holder}, {_end_of(writer)}")
    if waiting:
        said.append(f"studies that wait for one: {listed(waiting)}")
    if books.commands:
        said.append(f"commands that wait for one: {len(books.commands)}")
    severity = Severity.PROBLEM if waiting or books.commands else Severity.NOTE
    remedy = command = "orchestrator serve"
    if setup.alone:
        severity = Severity.WARNING if setup.running else Severity.NOTE
        remedy = f"see {setup.data_dir}/logs/serve.log" if setup.running else f"{how_to('run', 'SPEC')} brings one"
        command = "" if setup.running or not waiting else f"orchestrator resume {shlex.quote(waiting[0])}"
    if writer is not None and writer.stopped:
        command = f"kill -CONT {writer.stopped}"
        remedy = f"{command}, or `fg` where Ctrl-Z has stopped it, lets it go on; another `serve` takes over meanwhile"
    elif writer is not None and writer.still:
        remedy = f"{remedy}, which takes over after a lease; where that one lives, its log says what keeps it"
    return Code.CONTROL_PLANE_MISSING.finding("", "; ".join(said), remedy, severity=severity, command=command)


def _end_of(writer: Writer) -> str:
    if writer.gone:
        return "has ended"
    if writer.stopped:
        return f"stands still: a signal has stopped process {writer.stopped}"
    if writer.still:
        return (
            f"has not renewed its lease in {duration(writer.still)}, which lasts for another {duration(writer.left)}: "
            "its host is dead or cut off, or it hangs"
        )
    return f"lost the lease {duration(-writer.left)} ago"


def _commands(facts: Facts) -> Iterator[Finding]:
    late = [each for each in facts.books.commands if each.age > 2 * facts.setup.lease]
    for each in late:
        yield Code.COMMAND_UNANSWERED.finding(
            f"{each.operation} {each.study}",
            f"was issued {duration(each.age)} ago and is not answered",
            "the control plane looks for commands every lease; its log says what keeps it, or that it was started "
            "with --study for another one",
            # A `run` looks after one study, and leaves the others' commands to theirs.
            severity=Severity.NOTE if facts.setup.alone else Severity.WARNING,
            repair=Ring(),
        )


def _schedules(facts: Facts) -> Iterator[Finding]:
    for each in facts.books.overdue:
        runs = "the run" if each.slots == 1 else f"the first of {each.slots} runs"
        # Only a note: the database does not learn of a spec that was removed while no beat looked.
        yield Code.SCHEDULE_OVERDUE.finding(
            each.schedule,
            f"no beat has asked for {runs} that {'was' if each.slots == 1 else 'were'} due {duration(each.late)} ago",
            "orchestrator beat --studies DIR, with its spec in DIR; where that is gone for good, nothing",
        )
