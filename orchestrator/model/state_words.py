"""The words for states: one for each state of a study, a trial or an attempt, which every view takes from here.

``docs/lifecycle.md`` has the same table, and ``tests/unit/terminal/test_state_words.py`` holds the views to it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from orchestrator.model.lifecycle import WAITING, AttemptState


class StateWord(NamedTuple):
    """One state.

    Attributes:
        word: What people read.
        data: What programs read: ``--json``, notifications and metrics. Behind a semicolon, of trials, the key under
            which they are counted.
        stored: In the database, with the table's name where it is not the state's own.
        means: One line.
    """

    word: str
    data: str
    stored: str
    means: str


SUSPENDED: Final = "suspended"
UNATTENDED: Final = "unattended"
INTERRUPTED: Final = "interrupted"
ON_RUNG: Final = "on rung"

OF_STUDIES: Final = (
    StateWord("running", "running", "running", "asks for trials while slots and budget allow"),
    StateWord(
        "paused", "paused", "paused", "a person paused it: trials that run or are queued go on, none is asked for"
    ),
    StateWord(
        INTERRUPTED,
        INTERRUPTED,
        INTERRUPTED,
        "its `run` was ended by Ctrl-C: the same command, or `resume`, goes on with it",
    ),
    StateWord(
        UNATTENDED,
        UNATTENDED,
        "running, ending",
        "no control plane is seen that looks after it, as after `kill -9`; it goes on when there is one",
    ),
    StateWord(
        "ending", "ending", "ending", "the objective called `study.stop()`, or a limit was reached: what runs may end"
    ),
    StateWord(SUSPENDED, SUSPENDED, "any, and a system attribute", "something of it cannot be handled: see below"),
    StateWord(
        "finished", "finished", "finished", "its budget is used up, or all that had begun before a limit has ended"
    ),
    StateWord("failed", "failed", "failed", "its first trials all failed alike, or its sampler, pruner or import did"),
    StateWord("stopped", "stopped", "stopped", "a person stopped it"),
    StateWord("Optuna's", "optuna", "no row of ours", "made by Optuna, never run by this program"),
)

OF_TRIALS: Final = (
    StateWord(
        "waiting", "waiting; enqueued", "WAITING", "to be asked for: enqueued, or asked for once and never begun"
    ),
    StateWord("queued", "queued; waiting", "RUNNING; attempt queued, sent", "has its parameters, and waits for a slot"),
    StateWord("running", "running; running", "RUNNING; attempt running, stopping", "trains on a slot"),
    StateWord(
        UNATTENDED,
        "running; running",
        "RUNNING; attempt running, stopping",
        "was running when a control plane was last seen",
    ),
    StateWord(
        ON_RUNG, "paused; paused", "RUNNING; attempt paused", "stands on a rung without a slot, and may be promoted"
    ),
    StateWord("complete", "complete; complete", "COMPLETE", "ended with its value"),
    StateWord("pruned", "pruned; pruned", "PRUNED", "was stopped early, by a rule or by itself"),
    StateWord("failed", "fail; failed", "FAIL", "ended without a value, and says why"),
)

OF_ATTEMPTS: Final = (
    StateWord("queued", "queued, sent", "queued, sent", "its task waits to be sent, or in the queue"),
    StateWord("running", "running", "running", "a runner is bound to it"),
    StateWord("stopping", "stopping", "stopping", "it was told to stop, and has not obeyed yet"),
    StateWord(ON_RUNG, "paused", "paused", "its slice is trained, and a checkpoint is safe"),
    StateWord("done", "done", "done", "its runner said its last word, or never began"),
    StateWord("lost", "lost", "lost", "its runner went silent"),
)

_WORDS: Final = {each.data: each.word for each in OF_STUDIES}


def study_word(state: str) -> str:
    """Returns the word for a study's state, as ``Progress.state`` has it."""
    return _WORDS.get(state, state)


def trial_word(state: str, live: str, *, attended: bool = True) -> str:
    """Returns the word for a trial's state.

    Args:
        state: Optuna's.
        live: The state of its live attempt; empty where it has none.
        attended: Whether a control plane looks after its study.
    """
    if state != "RUNNING":
        return "failed" if state == "FAIL" else state.lower()
    if live in WAITING:
        return "queued"
    if live == AttemptState.PAUSED:
        return ON_RUNG
    return "running" if attended or not live else UNATTENDED
