"""Tracks the slice of a trial: its end follows from what the objective has reported and saved."""

from __future__ import annotations

import optuna

from tasks.contract import Slice


class TrialPaused(optuna.TrialPruned):
    """The slice is trained; the trial may go on later, on any worker.

    It is a ``TrialPruned``, so that code which cleans up on pruning does so here too.
    """


class CheckpointMissing(RuntimeError):
    """The objective cannot be paused: it has saved no checkpoint."""


class SliceTracker:
    """Tracks one trial through its slice; ``contract.Slice`` says where it ends.

    A checkpoint that the trial was resumed from counts like one that it saved: a slice whose end was lost with its
    worker then ends at the first report that is made again.

    Args:
        plan: The slice; ``None`` for a trial that runs to its end.
    """

    def __init__(self, plan: Slice | None) -> None:
        self._plan = plan
        self._reported = -1
        self._saved = -1
        self._tries = 0
        self.last_report = -1

    @property
    def over(self) -> bool:
        """Whether the slice is over and the trial must leave."""
        plan = self._plan
        if plan is None or self._reported < plan.until_step:
            return False
        return plan.restart or self._saved >= plan.until_step

    @property
    def refused(self) -> bool:
        """Whether the objective cannot be paused: it has not tried to save a checkpoint."""
        plan = self._plan
        if plan is None or plan.restart:
            return False
        return not self._tries and self._reported >= plan.checkpoint_by

    def reported(self, step: int) -> None:
        self.last_report = step
        self._reported = max(self._reported, step)

    def saved(self, step: int) -> None:
        """Notes a checkpoint that was saved, or that the trial was resumed from."""
        self._tries += 1
        self._saved = max(self._saved, step)

    def not_saved(self) -> None:
        """Notes a failed write of a checkpoint: the disk failed, so the objective is not refused for it."""
        self._tries += 1

    def check(self) -> None:
        """Raises where the trial must leave.

        Raises:
            TrialPaused: the slice is over.
            CheckpointMissing: the objective cannot be paused.
        """
        plan = self._plan
        if plan is None:
            return
        if self.over:
            raise TrialPaused(f"paused at step {self.last_report}")
        if self.refused:
            raise CheckpointMissing(
                f"trials of this study are paused at step {plan.until_step} and go on later, but the objective has "
                f"saved no checkpoint by step {plan.checkpoint_by}: call trial.save_checkpoint(state, step) after each "
                "report and trial.load_checkpoint() at the start, or set restart = true in [pruner] to train promoted "
                "trials from the beginning"
            )
