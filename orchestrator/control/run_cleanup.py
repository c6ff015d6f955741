"""The end of a scheduled run: its report is written, and the studies of the oldest runs are deleted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orchestrator.common.clock import Clock
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.ports import Calendar, Reports
from orchestrator.control.study_boundary import is_of_the_study
from orchestrator.control.study_deletion import StudyDeletion
from orchestrator.model.planned_run import PlannedRun, StudyRun
from orchestrator.model.suspension import describe

log = logging.getLogger(__name__)


@dataclass(eq=False)
class RunCleanup:
    """Looks after runs that are over. Each step can be done again, and is, by the next leader.

    A study is deleted in three steps: it is noted that it goes; its files go; its rows go, once the files are gone. So
    no file is left unknown, and a study that a person has taken up again meanwhile stays.
    """

    calendar: Calendar
    studies: EngineRegistry
    deletion: StudyDeletion
    reports: Reports
    clock: Clock
    # Studies whose runs could not be looked after; the log has one line about each.
    _failed: set[str] = field(default_factory=set, init=False)

    @property
    def has_news(self) -> bool:
        """Whether a report is written that was waited for, or files are gone."""
        return self.reports.has_news or self.deletion.has_news

    def tend(self, runs: Sequence[StudyRun]) -> None:
        """Does what is due for these runs. An error about one run is logged once, and the other runs go on."""
        for run in runs:
            try:
                self._tend(run)
            except Exception as error:
                if not is_of_the_study(error):
                    raise
                if run.slot.study not in self._failed:
                    self._failed.add(run.slot.study)
                    extra = {"action": "run_not_tended", "study": run.slot.study}
                    log.error("run %s cannot be looked after: %s", run.slot.study, describe(error), extra=extra)

    def _tend(self, run: StudyRun) -> None:
        if run.goes_on or run.slot.study in self.studies:
            if run.slot.state == "deleting":
                self.deletion.end(run.slot.study)
                about = {"action": "run_kept", "study": run.slot.study}
                log.info("study %s goes on, and stays", run.slot.study, extra=about)
                self._write(replace(run.slot, state="running"))
        elif run.slot.state == "running":
            self._end(run)
        elif run.slot.state == "deleting":
            self._delete(run)

    def _end(self, run: StudyRun) -> None:
        report = ""
        if run.table is not None and run.table.report:
            said = self.reports.ask(run.slot.study)
            if said is None:
                return
            report = said
            log.info(
                "report of %s: %s", run.slot.study, report, extra={"action": "run_reported", "study": run.slot.study}
            )
        ended = replace(run.slot, state="ended", report=report)
        # Together: a run that has ended is not looked at again.
        written = {slot.planned: slot for slot in (ended, *self._excess(ended))}
        self._write(*written.values())

    def _excess(self, ended: PlannedRun) -> list[PlannedRun]:
        """Returns the oldest runs that are at rest, with ``ended`` among them, as far as there are more than are to be
        kept; their studies go."""
        made = [run for run in self.calendar.runs(ended.schedule) if run.study_state is not None]
        newest = made[0].table if made else None
        if newest is None or newest.keep is None:
            return []
        found = []
        for run in made[newest.keep :]:
            slot = ended if run.slot.planned == ended.planned else run.slot
            at_rest = not run.goes_on and slot.study not in self.studies
            if slot.state == "ended" and at_rest and run.is_own:
                found.append(replace(slot, state="deleting", reason=f"keep = {newest.keep}"))
        return found

    def _delete(self, run: StudyRun) -> None:
        study = run.slot.study
        if self.deletion.delete_files(study):
            gone = replace(run.slot, state="deleted", report="", decided=self.clock.wall())
            self.calendar.throw_study(gone)
            self.deletion.end(study)
            log.info("study %s is deleted: %s", study, run.slot.reason, extra={"action": "run_deleted", "study": study})

    def _write(self, *slots: PlannedRun) -> None:
        self.calendar.put(*(replace(slot, decided=self.clock.wall()) for slot in slots))
