"""The timeline: a pause does not squash it."""

from __future__ import annotations

import pytest
from made_facts import NOW, RUNNING, attempt, facts, trial

from orchestrator.report.facts import Facts
from orchestrator.report.slot_timeline import timeline, without_pauses

NIGHT = 8 * 3600.0


def interrupted(*pauses: float) -> Facts:
    """Two slots that train ten trials of 10 s each between pauses of these lengths."""
    attempts, at = [], 0.0
    for pause in (*pauses, 0.0):
        for number in range(10):
            attempts.append(
                attempt(len(attempts), at + number // 2 * 10, at + number // 2 * 10 + 9.5, f"w/{number % 2}")
            )
        at += 50 + pause
    return facts([trial(each.trial) for each in attempts], attempts)


def test_a_night_is_a_stripe_and_the_work_has_the_room() -> None:
    plot = timeline(interrupted(NIGHT))
    (figure,) = plot.figures
    (stripe,) = figure.layout.shapes
    bars, legend = figure.data
    ends = [base + length for base, length in zip(bars.base, bars.x, strict=True)]
    assert sum(bars.x) / 2 > 0.9 * max(ends)
    assert stripe.x1 - stripe.x0 < 0.05 * max(ends)
    assert not any(
        base < stripe.x1 - 1e-6 and end > stripe.x0 + 1e-6 for base, end in zip(bars.base, ends, strict=True)
    )
    assert legend.name == "pause of 8h 00m"
    assert "A pause of 8h 00m, in which no slot is known to have worked, is cut out" in plot.says
    assert plot.says.startswith("The 2 slots were at work 96% of the time")
    assert "h:min:s" in figure.layout.xaxis.title.text
    assert figure.layout.xaxis.ticktext[0] == "0:00:00"
    assert figure.layout.xaxis.ticktext[-1].startswith("8:01:")


@pytest.mark.parametrize("pauses", [(), (20.0,), (5.0, 5.0, 5.0)])
def test_ordinary_idle_time_is_shown_as_it_was(pauses: tuple[float, ...]) -> None:
    plot = timeline(interrupted(*pauses))
    assert not plot.figures[0].layout.shapes
    assert "pause" not in plot.says


def test_many_pauses_are_stripes() -> None:
    plot = timeline(interrupted(*[NIGHT] * 9))
    assert len(plot.figures[0].layout.shapes) == 9
    assert "9 pauses of 72h 00m together" in plot.says
    axis = without_pauses(interrupted(*[NIGHT] * 9))
    assert axis.length < 1.35 * 500


def test_time_in_which_a_killed_search_was_not_noticed_is_a_pause() -> None:
    """Its attempts were lost at some time in the night, and noticed in the morning."""
    attempts = [attempt(0, 0, 10), attempt(1, 11, NIGHT, state="lost"), attempt(1, NIGHT + 1, NIGHT + 11, number=2)]
    found = facts([trial(0, curve=[0.1] * 5), trial(1, curve=[0.1] * 9)], attempts)
    axis = without_pauses(found)
    assert axis.pauses == ((NOW + 41, NOW + NIGHT + 1),)
    assert found.seconds[1] == pytest.approx(30 + 10)


def test_one_that_runs_on_after_its_program_died_does_not_squash_the_others() -> None:
    attempts = [attempt(0, 0, 10), attempt(1, 11, None, state="running")]
    found = facts([trial(0), trial(1, RUNNING)], attempts)
    assert without_pauses(found).length < 60
