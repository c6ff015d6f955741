"""The handle of a study: what a person asks about it, and what they want done with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO, TypeVar

from orchestrator.api import access, arguments
from orchestrator.api.arguments import every, or_none, takes, whole
from orchestrator.api.events import Events
from orchestrator.api.shown import Answer, as_html
from orchestrator.api.status import StudyStatus
from orchestrator.api.study_files import StudyFiles
from orchestrator.api.trial_listing import SORTS, open_listing
from orchestrator.common.errors import BadInput, OrchestratorError, StudyFailed
from orchestrator.model.study_states import ENDED

if TYPE_CHECKING:
    import optuna

    from orchestrator.model.progress_events import Best, Notice
    from orchestrator.model.records import TrialFacts
    from orchestrator.queries.best_trials import BestTrial
    from orchestrator.queries.logs import TrialLog
    from orchestrator.spec import Spec

Result = TypeVar("Result")

POLL_SECONDS = 0.5
"""Time between two looks at a study that is waited for."""

_CONTINUE = {
    "stopped": "run or submit its spec again",
    "failed": "run or submit its spec again",
    "finished": "it has reached a limit of its spec: raise that, and run or submit it again",
}
"""The user's next step, by the state of the study, so that an added trial is run."""


def already_ended(study: str, state: str) -> BadInput:
    """Returns the error about a study that has ended; it says how it goes on."""
    return BadInput(f"study '{study}'", f"is {state} already", f"{_CONTINUE[state]}, and it goes on")


@dataclass(frozen=True)
class AddedTrial:
    """A trial that was added to a study.

    Attributes:
        number: Its number; ``None`` where no control plane runs: it is stored, and the next run of the study adds it.
        notes: What the user should know, a line each.
    """

    number: int | None
    notes: tuple[str, ...] = ()


class StudyHandle(StudyFiles):
    """A study of a fleet, or of a `run`. It holds no data: each call reads or asks anew.

    ``Fleet`` and ``Search.submit`` make it. Every method raises ``BadInput`` where the study is gone.

    Attributes:
        name: Name of the study.
    """

    # -- looking

    def status(self) -> StudyStatus:
        """Returns where the study stands."""
        return self._status(rungs=True)

    def _status(self, *, rungs: bool) -> StudyStatus:
        with self._fleet.reader() as reader:
            overview = reader.overview(self.name, rungs=rungs)
        return StudyStatus.of(overview, time.time())

    @property
    def state(self) -> str:
        """Its state in one word: ``running``, ``paused``, ``finished`` and so on; see docs/lifecycle.md."""
        return self._status(rungs=False).state

    @property
    def spec(self) -> Spec:
        """The spec that it is searched by."""
        with self._fleet.reader() as reader:
            return reader.spec(self.name)

    @property
    def best(self) -> Best | None:
        """The best completed trial, with ``number``, ``value`` and ``params``; ``None`` while there is none.

        Of several objectives no trial is the best: see ``best_trials``.
        """
        return self._status(rungs=False).best

    def best_trials(self) -> list[BestTrial]:
        """Returns the best trial with its parameters and models; with several objectives, those of the Pareto front.

        While no trial has completed, the list holds the one that leads by what it has reported, with the ``step`` of
        that report; it is empty where no trial has reported.
        """
        from orchestrator.queries.best_trials import read_best_trials

        with self._fleet.reader() as reader:
            return read_best_trials(reader, self.name)

    @property
    def study(self) -> optuna.Study:
        """The study as Optuna's own object, on a connection that stays open until the fleet is closed."""
        return self._fleet.open_study(self.name)

    @takes(
        states=arguments.words,
        sort=arguments.choice(*SORTS),
        reverse=arguments.flag,
        limit=or_none(whole(1)),
    )
    def trials(
        self,
        *,
        states: str | Sequence[str] = (),
        sort: Literal["number", "value", "duration", "epochs", "attempts"] = "number",
        reverse: bool = False,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Returns the trials as `orchestrator trials --json` prints them, a dictionary each.

        Behind them come the trials that were enqueued while no control plane runs; their number is ``None`` yet.

        Args:
            states: Only trials in this state, or in one of these: ``complete``, ``pruned``, ``fail``, ``running``,
                ``queued``, ``on-rung``, ``waiting``; all where it is empty.
            sort: By number the oldest first; by value the best; by anything else the most.
            reverse: Reverses the order.
            limit: At most so many, by number the newest.

        Raises:
            BadInput: there is no such state or order, or the limit is no positive integer.
        """
        with open_listing(
            self._fleet.reader, self.name, states=states, sort=sort, reverse=reverse, limit=limit
        ) as listing:
            return list(listing.rows())

    @takes(trial=arguments.trial)
    def why(self, trial: int | str) -> Answer:
        """Says why a trial was pruned, failed, or goes on.

        Raises:
            BadInput: there is no such trial.
        """
        from orchestrator.terminal.why_json import to_json
        from orchestrator.terminal.why_text import explain

        found = self._trial(trial)
        return Answer.of_text(explain(found), to_json(found))

    @takes(trial=arguments.trial, lines=or_none(whole(0)), follow=arguments.flag)
    def logs(self, trial: int | str, *, lines: int | None = None, follow: bool = False) -> TrialLog:
        """Returns an iterator over what the objective printed in a trial: its lines, without line ends.

        The log is kept on the host whose worker trained the trial; ``notes`` of what is returned says where else
        attempts of it ran.

        Args:
            trial: Number of the trial.
            lines: Only so many from the end.
            follow: Goes on until the trial has ended.

        Raises:
            BadInput: there is no such trial, or its log is on another host, which is named.
        """
        from orchestrator.queries.logs import TrialLog

        with self._fleet.reader() as reader:
            reader.spec(self.name)  # raises for a study that only Optuna has run: this program keeps no logs of it
        data_dir = self._fleet.settings.data_dir.resolve()
        return TrialLog(data_dir, lambda: self._trial(trial), lines=lines, follow=follow)

    @takes(pruners=every(arguments.text))
    def replay(self, *pruners: str) -> Answer:
        """Says what other pruning rules would have saved of what was recorded; trains nothing.

        Args:
            *pruners: Rules such as ``"median n_startup_trials=2"``, or paths of specs whose pruner is taken.

        Raises:
            BadInput: one is no rule, or the study has several objectives.
        """
        from orchestrator.api import rule_trials

        return rule_trials.replay(self._fleet.reader, [self.name], pruners, "replay")

    def tune_rule(self) -> Answer:
        """Recommends a pruning rule from what was recorded; takes some seconds, and trains nothing.

        Raises:
            BadInput: the study has several objectives, or too little was recorded.
        """
        from orchestrator.api import rule_trials

        return rule_trials.tune_rule(self._fleet.reader, [self.name])

    # -- following

    def events(self) -> Events:
        """Returns what happens to the study until it has ended, for ``for`` and for ``async for``.

        A server that is away for a moment is waited for.

        Raises:
            ServerTrouble: a server was away for a minute.
        """

        def begin(check: Callable[[], None]) -> Iterator[Notice]:
            from orchestrator.terminal.watch import events

            patience = access.patience(check)
            return events(self._fleet.settings, self.name, self._fleet.reader, check=check, patient=patience)

        return Events(begin)

    @takes(stream=or_none(arguments.stream))
    def watch(self, stream: TextIO | None = None) -> None:
        """Shows the study live until it has ended: on a terminal, in a notebook, or as lines. Ctrl-C ends only this.

        Args:
            stream: Takes it, instead of the notebook or standard error.
        """
        from orchestrator.api.views import view_here
        from orchestrator.terminal.views import make_view
        from orchestrator.terminal.watch import watch

        view = view_here() if stream is None else make_view(stream)
        try:
            watch(self._fleet.settings, self.name, self._fleet.reader, view, patient=access.patience())
        finally:
            view.close()

    @takes(timeout=or_none(arguments.seconds))
    def wait(self, timeout: float | None = None) -> optuna.Study:
        """Waits until the study has ended, and returns it as Optuna's own object.

        Args:
            timeout: Waits for so many seconds at most, a server that is away included; for ever where it is ``None``.

        Raises:
            StudyFailed: it failed, is suspended, or was left by its `run`; the message says why.
            TimeoutError: it has not ended in time.
            ServerTrouble: a server was away for a minute.
        """
        deadline = None if timeout is None else time.monotonic() + timeout

        def check() -> None:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"study '{self.name}' has not ended in {timeout:g} s: its database does not answer")

        patience = access.patience(check)
        while not (status := patience(lambda: self._status(rungs=False))).has_ended:
            if status.overview.suspended is not None:
                raise StudyFailed(f"study '{self.name}' is suspended: {status.reason}")
            if status.overview.absence is not None and self._fleet.settings.redis_url is None:
                raise StudyFailed(f"study '{self.name}' is {status.state}, and no run works on it")
            left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"study '{self.name}' has not ended in {timeout:g} s: it is {status.state}")
            time.sleep(left)
        if status.state == "failed":
            raise StudyFailed(f"study '{self.name}' failed: {status.reason}")
        return patience(lambda: self.study)

    # -- steering

    def pause(self) -> str:
        """Asks for no more trials; those that run or wait in the queue go on. Returns the study's state."""
        return self._command("pause")

    @takes(slots=or_none(whole(1)), progress=arguments.flag)
    def resume(self, *, slots: int | None = None, progress: bool = True) -> str:
        """Goes on with a study that was paused, interrupted or suspended. Returns its state.

        Where no control plane looks after it, the study is run here to its end, as ``Search.run`` does.

        Args:
            slots: Trials at once of such a run; see ``Search.run``.
            progress: Whether such a run is shown.

        Raises:
            BadInput: it has ended.
        """
        from orchestrator.api.local_search import resume_in_program
        from orchestrator.common.slot_options import SlotOptions

        settings = self._fleet.settings
        return self.resume_by(
            lambda spec, source: resume_in_program(settings, spec, source, SlotOptions(slots), progress).state
        )

    def resume_by(self, run: Callable[[Spec, str], Result]) -> str | Result:
        """Goes on with the study as ``resume`` does, and returns its state.

        Args:
            run: Runs it here, where no control plane looks after it, and is given its spec and what that is called;
                what it returns is returned then.
        """
        if access.has_control_plane(self._fleet.settings, self.name):
            return self._command("resume")
        if (state := self.state) in ENDED:
            raise already_ended(self.name, state)
        return run(self.spec, f"study '{self.name}'")

    def stop(self) -> str:
        """Ends the study at once; what its trials have reported is kept. Returns the study's state."""
        return self._command("stop")

    @takes(trial=arguments.trial)
    def retry(self, trial: int | str) -> AddedTrial:
        """Runs a trial again with the same parameters, as a new trial that adds to the budget.

        Raises:
            BadInput: there is no such trial, or it has not ended.
        """
        from orchestrator.control.command_handler import check_retry

        with self._fleet.reader() as reader:
            reader.spec(self.name)
            found = reader.trial(self.name, str(trial))
        check_retry(self.name, found.number, found.state)
        pruned = f"trial {found.number} was pruned; the same rule will judge it again"
        return self._add("retry", {"trial": found.number}, [pruned] if found.state == "PRUNED" else [])

    @takes(params=arguments.parameters)
    def enqueue(self, params: Mapping[str, Any]) -> AddedTrial:
        """Adds a trial with these parameters, which is the next one that runs and adds to the budget.

        Args:
            params: Value by name; parameters that are not given are sampled.

        Raises:
            BadInput: a value cannot be one of the parameter.
        """
        from orchestrator.spec.configuration import check_configuration, check_structured, doubts

        where = f"study '{self.name}'"
        with self._fleet.reader() as reader:
            # The control plane checks them again; here the error is shown even where no control plane runs.
            check_configuration(params, reader.spec(self.name).distributions(), where)
            known = reader.trials(self.name).parameters()
        check_structured(params, known, where)
        return self._add("enqueue", {"params": params}, doubts(params, known, self.name))

    def _command(self, operation: str) -> str:
        settings = self._fleet.settings
        with self._fleet.reader() as reader:
            reader.spec(self.name)
            state = reader.overview(self.name).progress.state
        if not access.has_control_plane(settings, self.name):
            if state in ENDED:
                raise already_ended(self.name, state)
            from orchestrator.control.unattended import steer_unattended

            with access.server_errors_in_words():
                return steer_unattended(settings, self.name, operation, access.ANSWER_SECONDS)
        with self._fleet.commands() as client:
            return client.command(operation, self.name, access.ANSWER_SECONDS)

    def _add(self, operation: str, payload: dict[str, Any], notes: Iterator[str] | list[str]) -> AddedTrial:
        """Asks the control plane to add a trial; where none runs, stores the command for the next one."""
        said = list(notes)
        with self._fleet.commands() as client:
            if not access.has_control_plane(self._fleet.settings, self.name):
                client.enqueue(operation, self.name, payload)
                return AddedTrial(None, tuple(said))
            added = client.add(operation, self.name, payload, access.ANSWER_SECONDS)
        if how := _CONTINUE.get(added.study_state):
            said.append(f"study '{self.name}' is {added.study_state}; {how}, and it goes on with this trial")
        return AddedTrial(added.trial, tuple(said))

    def _trial(self, trial: int | str) -> TrialFacts:
        with self._fleet.reader() as reader:
            return reader.trial(self.name, str(trial))

    def __repr__(self) -> str:
        return f"<StudyHandle {self.name!r} of {self._fleet!r}>"

    def _repr_html_(self) -> str:
        try:
            return as_html(str(self.status()))
        except OrchestratorError as error:
            return as_html(f"{self!r}: {error}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StudyHandle) and (self.name, self._fleet) == (other.name, other._fleet)

    def __hash__(self) -> int:
        return hash((self.name, self._fleet))
