"""One frame of the live view: it is never larger than the screen, and clips lines rather than wrap them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.constrain import Constrain
from rich.table import Table
from rich.text import Text

from orchestrator.common.formatting import (
    NONE_FEASIBLE,
    NOTHING,
    aligned,
    clock,
    count,
    duration,
    number,
    one_line,
    params,
    percent,
    silence,
    with_error,
)
from orchestrator.model.progress_events import Progress, TrialEnded
from orchestrator.model.state_words import ON_RUNG, UNATTENDED, study_word
from orchestrator.model.study_states import ENDED
from orchestrator.model.study_status import counts_epochs, trials_done
from orchestrator.terminal.live_state import SlotView, ViewState

STYLES: Final = {
    "COMPLETE": "green",
    "PRUNED": "yellow",
    "FAIL": "red",
    "running": "bold green",
    "paused": "bold yellow",
    "interrupted": "bold yellow",
    "unattended": "bold red",
    "ending": "bold green",
    "finished": "bold cyan",
    "stopped": "bold yellow",
    "suspended": "bold red",
    "failed": "bold red",
}
WIDE: Final = 100
_FOR_BARS: Final = 70
_FOR_WORDS: Final = 60
_LONGEST_BAR: Final = 100
_LONGEST_SLOT: Final = 20
MOST_PARAMS: Final = 3
MOST_RUNGS: Final = 8
_LEAST_BELOW: Final = 9
"""Lines that rungs leave to slots and ended trials in a small window."""
MOST_SILENT: Final = 5
"""Lines about silent trials in one frame."""


def render(state: ViewState, width: int, height: int) -> RenderableType:
    """Returns the frame for ``state``: at most ``height`` lines of at most ``width`` cells."""
    progress = state.progress
    if progress is None:
        return _clip(Text("waiting for the first report about the study", style="dim"), width)
    over = progress.state in ENDED
    # After the end, idle slots say nothing.
    slots = [slot for slot in state.slots if not over or slot.idle_since is None]
    times = f"elapsed {clock(state.elapsed)}"
    if not over:
        times += f"  ETA {NOTHING if state.eta is None else clock(math.ceil(state.eta))}"
    top = head(progress, times, width)
    if state.warning:
        top.append(_clip(Text(state.warning, style="yellow"), width))
    if not slots and progress.state == "running":
        top.append(_clip(Text("no slot is training", style="dim"), width))
    parts: list[RenderableType] = [*top[:height]]
    since = state.now - state.progress_at
    silent = [_clip(line, width) for line in silent_lines(progress, since)][: max(0, height - len(parts) - 1)]
    parts += silent
    if progress.rungs and (room := min(MOST_RUNGS, height - len(parts) - 1 - _LEAST_BELOW)) > 0:
        parts += [Text(""), *rung_lines(progress, room, width)]
    slot_rows, ended_rows = _share(len(slots), len(state.recent), height - len(parts))
    if slot_rows:
        parts += [Text(""), slot_table(slots, slot_rows, progress, state.now, width)]
    if ended_rows:
        parts += [Text(""), Constrain(_ended_table(state.recent[:ended_rows]), width)]
    return Group(*parts)


def head(progress: Progress, times: str, width: int, most: int = MOST_PARAMS) -> list[Text]:
    """Returns the lines about the study as a whole, with ``times`` behind the bar, and at most so many lines for the
    parameters of one trial."""
    lines = [_header(progress), _bar(progress, times, width), *_counts(progress, width)]
    lines += _best(progress, width, most)
    return [_clip(line, width) for line in lines]


def _share(slots: int, ended: int, room: int) -> tuple[int, int]:
    """Divides ``room`` lines; returns the rows for slots and for ended trials. A table takes two lines more.

    Where both do not fit, ended trials are cut down to three, then slots are left out, then the ended trials.
    """
    ended_rows = min(ended, 5 if room < 30 else 10, max(3, room - slots - 4))
    slot_rows = min(slots, room - 2 - (ended_rows + 2 if ended_rows else 0))
    if slots and slot_rows < min(slots, 3):
        return max(0, min(slots, room - 2)), 0
    return max(0, slot_rows), max(0, min(ended_rows, room - 2))


def _header(progress: Progress) -> Text:
    name = _clip(Text(one_line(progress.study), style="bold"), 60)
    reason = f"  {one_line(progress.reason)}" if progress.reason else ""
    word = study_word(progress.state)
    return Text.assemble(name, "  ", (word, STYLES.get(word, "bold")), reason)


def _bar(progress: Progress, times: str, width: int) -> Text:
    done, whole = trials_done(progress), max(progress.budget, progress.ended, 1)
    amounts = [(progress.complete, "green"), (progress.pruned, "yellow"), (progress.failed, "red")]
    if progress.promotes:
        amounts += [(progress.paused, "cyan"), (done - progress.ended - progress.paused, "bright_blue")]
    text = f"{done}/{progress.budget} trials{' begun' if progress.promotes else ''}"
    if progress.epoch_budget is not None and counts_epochs(progress):
        done, whole = progress.epochs, progress.epoch_budget
        amounts, text = [(done, "green")], f"{done}/{whole} epochs"
    text = f"{text}  {percent(done, whole)}  {times}".rstrip()
    room = min(width - cell_len(text) - 2, _LONGEST_BAR)
    if room < 8:
        return Text(text)
    return Text.assemble(_segments(amounts, max(whole, 1), room), "  ", text)


def _segments(amounts: list[tuple[int, str]], whole: int, width: int) -> Text:
    """Returns a bar of coloured parts, ``width`` cells long."""
    bar, done, drawn = Text(), 0, 0
    for amount, style in amounts:
        done += amount  # summed before rounding, so that roundings do not add up
        upto = width * min(done, whole) // whole
        bar.append("━" * (upto - drawn), style=style)
        drawn = upto
    return bar.append("─" * (width - drawn), style="bright_black")


def _counts(progress: Progress, width: int) -> list[Text]:
    amounts = [
        (progress.complete, "complete", "bold green"),
        (progress.pruned, "pruned", "bold yellow"),
        (progress.failed, "failed", "bold red"),
    ]
    if progress.state not in ENDED:
        trains = UNATTENDED if progress.state == UNATTENDED else "running"
        amounts += [(progress.running, trains, "bold"), (progress.waiting, "queued", "bold")]
    amounts += [
        (amount, word, "bold")
        for amount, word in ((progress.paused, ON_RUNG), (progress.enqueued, "waiting"))
        if amount
    ]
    trials = [Text()]
    for amount, word, style in amounts:
        item = Text.assemble((str(amount), style if amount else "dim"), f" {word}")
        if trials[-1].cell_len and trials[-1].cell_len + 2 + item.cell_len > width:
            trials.append(Text())
        trials[-1] = Text("  ").join([trials[-1], item]) if trials[-1].cell_len else item
    epochs = Text(f"{count(progress.epochs, 'epoch')} trained")
    if progress.max_steps is not None:
        # The share of what would have been trained by now: as a share of the budget, it would look small at first.
        share = percent(progress.epochs_saved, progress.epochs + progress.epochs_saved)
        epochs.append(f", {progress.epochs_saved} saved by pruning ({share})")
    together = Text.assemble(trials[-1], "    ", epochs)
    return [*trials[:-1], together] if together.cell_len <= width else [*trials, epochs]


def _best(progress: Progress, width: int, most: int) -> list[Text]:
    """Returns the lines about the best trial, and those about an unfinished one that leads."""
    best, front, leading = progress.best, progress.front, progress.leader
    if front:
        return [Text.assemble("Pareto front of ", (count(front, "trial"), "bold green"))]
    lines = []
    if best is not None:
        by = f" by trial {best.number}  "
        lines += _with_params(Text.assemble("best ", (number(best.value), "bold green"), by), best.params, width, most)
    elif progress.complete or leading is None:
        why = NONE_FEASIBLE if progress.complete else "no trial has completed"
        lines.append(Text(f"best {NOTHING}  {why}", style="dim"))
    if leading is not None:
        by = f" by trial {leading.number} at epoch {leading.step}, unfinished  "
        lines += _with_params(
            Text.assemble("leading ", (number(leading.value), "bold"), by), leading.params, width, most
        )
    return lines


def _with_params(line: Text, values: Mapping[str, Any], width: int, most: int) -> list[Text]:
    """Returns a line with the parameters behind it, as many as fit into ``most`` lines, and how many there are more."""
    lines, texts = [line], params(values)
    for at, text in enumerate(texts):
        room = width - (cell_len(f"  … {len(texts)} more") if len(lines) == most else 0)
        if lines[-1].cell_len + cell_len(text) > room and (at or len(lines) < most):
            if len(lines) == most:
                lines[-1].append(f"… {len(texts) - at} more", style="dim")
                break
            lines.append(Text("  "))
        lines[-1].append(f"{text}  ", style="cyan")
    for each in lines:
        each.rstrip()
    return lines


def rung_lines(progress: Progress, most: int, width: int) -> list[Text]:
    """Returns a line for each rung, the highest first; where there is room for ``most`` of them alone, for the highest
    that trials have reached."""
    reached = [rung for rung in progress.rungs if rung.reached] or progress.rungs[:1]
    rungs = list(reversed(progress.rungs if len(progress.rungs) <= most else reached))
    if most < 1 or not rungs:
        return []
    shown = rungs if len(rungs) <= most else rungs[: most - 1]
    step, digits = max(len(str(each.step)) for each in rungs), len(str(rungs[-1].reached))
    lines = []
    for rung in shown:
        up = "" if rung.next_up is None else f", trial {rung.next_up} {'takes the next slot' if rung.ready else 'next'}"
        amounts = [(rung.reached - rung.on_it, "green"), (rung.on_it, "cyan")]
        bar = _segments(amounts, max(rungs[-1].reached, 1), 0 if width < _FOR_BARS else 16)
        says = f"  {rung.reached:>{digits}} reached it, {rung.on_it:>{digits}} on it{up}"
        if width < _FOR_WORDS:
            says = f"  {rung.on_it:>{digits}} of {rung.reached:>{digits}} on it{up}"
        lines.append(_clip(Text.assemble(f"rung {rung.step:>{step}}  ", bar, says), width))
    if len(shown) < len(rungs):
        more = rungs[len(shown) :]
        on_them = sum(each.on_it for each in more)
        says = "".join(f"; trial {each.next_up} takes the next slot" for each in more if each.ready)
        lines.append(_clip(Text(f"… and {count(len(more), 'lower rung')}, {on_them} on them{says}", "dim"), width))
    return lines


def slot_table(slots: Sequence[SlotView], rows: int, progress: Progress, now: float, width: int) -> RenderableType:
    """Returns the table of what each slot does, in at most ``rows`` rows."""
    shown = slots if len(slots) <= rows else slots[: rows - 1]
    names = short_names([slot.line.slot for slot in slots])
    table = _table(("slot", "left"), ("device", "left"), ("trial", "right"), ("epoch", "left"), ("value", "right"))
    if any(slot.line.expected is not None for slot in shown):
        table.add_column("expected end", no_wrap=True)
    for slot in shown:
        bar = 40 if width > WIDE else 16
        table.add_row(names[slot.line.slot], *_slot_row(slot, now, progress.max_steps, bar))
    if len(shown) == len(slots):
        return Constrain(table, width)
    more = Text(f"… and {len(slots) - len(shown)} more", style="dim")
    return Constrain(Group(table, _clip(more, width)) if shown else _clip(more, width), width)


def silent_lines(progress: Progress, since: float = 0.0) -> list[Text]:
    """Returns a line for each trial that has been silent for far longer than usual; ``since`` is the progress's age."""
    lines = [
        f"trial {line.trial}: {silence(line.silent + since, line.pace)}"
        for line in progress.slots
        if line.silent is not None and line.pace is not None
    ]
    if len(lines) > MOST_SILENT:
        lines[MOST_SILENT - 1 :] = [f"… and {len(lines) - MOST_SILENT + 1} more trials are silent"]
    return [Text(line, style="yellow") for line in lines]


def _slot_row(slot: SlotView, now: float, max_steps: int | None, bar: int) -> list[Text]:
    line, device = slot.line, Text(one_line(slot.line.device))
    if slot.idle_since is not None:
        idle = now - slot.idle_since
        since = f"idle {duration(idle)}" if idle >= 1 else "idle"
        return [device, Text(NOTHING, style="dim"), Text(since, style="dim")]
    trial = Text(str(line.trial), style="bold")
    if line.attempt > 1:
        trial.append(f" try {line.attempt}", style="yellow")
    epoch = Text(str(line.epochs))
    if max_steps:
        of = f" {line.epochs:>{len(str(max_steps))}}/{max_steps}"
        epoch = Text.assemble(_segments([(line.epochs, "cyan")], max_steps, bar), of)
    row = [device, trial, epoch, Text(aligned(line.value))]
    if line.expected is not None and line.spread is not None:
        row.append(Text(with_error(line.expected, line.spread)))
    return row


def short_names(slots: Sequence[str]) -> dict[str, str]:
    """Returns the shortest name of each slot that tells them apart; full names are ``worker@host/index``.

    That is the index while there is one worker, else host (without its domain) and index, else the full name.
    """
    forms = []
    for slot in slots:
        rest, _, index = one_line(slot).rpartition("/")
        worker, _, host = rest.rpartition("@")
        node = host.split(".")[0]
        forms.append((index, f"{node}/{index}", f"{worker}@{node}/{index}", one_line(slot)))
    shortest = next((form for form in zip(*forms, strict=True) if len(set(form)) == len(slots)), slots)
    return dict(zip(slots, (_end(name) for name in shortest), strict=True))


def _end(name: str) -> str:
    return name if len(name) <= _LONGEST_SLOT else "…" + name[1 - _LONGEST_SLOT :]


def _ended_table(trials: Sequence[TrialEnded]) -> Table:
    table = _table(("ended", "right"), ("state", "left"), ("value", "right"), ("epochs", "right"), ("time", "right"))
    # The only column that shrinks to make the table fit.
    table.add_column("why")
    for trial in trials:
        why = Text(one_line(trial.detail), style="" if trial.state == "FAIL" else "dim")
        why.no_wrap, why.overflow = True, "ellipsis"
        table.add_row(
            str(trial.number),
            Text(trial.state, style=STYLES.get(trial.state, "")),
            ", ".join(map(aligned, trial.values)) or NOTHING,
            str(trial.epochs),
            duration(trial.seconds if trial.on_slot is None else trial.on_slot),
            why,
        )
    return table


def _table(*columns: tuple[str, Literal["left", "right"]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis")
    return table


def _clip(text: Text, width: int) -> Text:
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis")
    return text
