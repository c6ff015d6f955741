"""A search, as Python code describes it: what a spec holds, checked alike, and run or submitted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Never, Self

from orchestrator.api import arguments
from orchestrator.api.arguments import or_none, takes, whole
from orchestrator.api.objective import read_objective
from orchestrator.api.spec_input import check_sampler_and_pruner, checked_spec, load_spec
from orchestrator.api.spec_values import spec_table
from orchestrator.common.faults import Fault, got
from orchestrator.common.settings import load_settings
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.pruning.foreign import ForeignArguments
from orchestrator.spec.model import Spec, validate

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from orchestrator.api.fleet import Fleet
    from orchestrator.api.shown import Answer
    from orchestrator.api.study_handle import StudyHandle
    from orchestrator.bundling import CodeBundle

Direction = Literal["minimize", "maximize"]
SOURCE: Final = "Search"
"""Begins the messages about a search that no file describes."""


def _a_fleet(value: Any) -> Any:
    """Takes what ``connect`` returns."""
    from orchestrator.api.fleet import Fleet

    if not isinstance(value, Fleet):
        raise Fault(got(value), "it must be what connect() returns")
    return value


class Search:
    """One search: what to train, how often, and how parameters are chosen.

    It takes what a spec takes, under the same names, and refuses what `orchestrator validate` refuses, in the same
    words. A keyword that is not given, or is ``None``, has the default of [the spec](spec.md).

    Args:
        objective: The function that takes an Optuna trial, or its name as ``"module:function"``. A function of a
            script, a notebook or a module beside it goes with its source. A search has this or ``command``.
        name: The study's name.
        direction: Whether the smallest or the largest value is the best: ``"minimize"`` (the default) or
            ``"maximize"``.
        directions: Two to ten, one for each value that the objective returns; then without ``direction``.
        trials: The budget: the search ends when so many trials in all have completed, were pruned or have failed.
        timeout: So long after its first trial began, a search starts no more trials: seconds, or a text such as
            ``"2h"``.
        target: When a trial completes with this value or a better one, no more are started.
        patience: When so many trials after the best one have completed or were pruned, no more are started.
        max_total_steps: When all trials together have trained so many epochs or steps, no more are started.
        max_steps: Epochs or steps of a full trial, where known.
        parallel: At most so many trials are underway at once.
        lookahead: So many trials are sampled ahead, or ``"auto"``.
        seed: Of the sampler. With one slot, a search of the same seed repeats exactly.
        queue: The Celery queue.
        priority: The higher, the sooner its trials begin: 0 to 9.
        weight: Share of the slots, where several studies of one priority use a queue.
        catch: Exceptions that are expected, as classes or by their names.
        grace: Seconds that a trial has to end after a stop, before its process is killed.
        stall_timeout: An attempt that reports nothing for so long is ended.
        max_trial_time: A trial that has trained for so long is ended.
        timed_out: What such a trial is: ``"pruned"`` or ``"failed"``.
        keep_models: Of so many best trials the models are kept.
        args: Fixed keyword arguments of the objective: anything that JSON carries.
        command: A program that is run for each trial, as the table [command].
        code: Files that go with the search, and packages that its workers need, as the table [code].
        sampler: A name such as ``"tpe"``, the table [sampler] as a dictionary, or a sampler of Optuna's.
        pruner: A rule as ``"median n_startup_trials=2"``, the table [pruner] as a dictionary, or a pruner of Optuna's.
        shadow: A second rule that only records what it would have done, written like ``pruner``.
        audit: Share of the condemned trials that run on, to measure how many prunes are wrong.
        space: Parameters declared ahead: by name a table as in [space], or a distribution of Optuna's.
        enqueue: Configurations that are tried before anything is sampled.
        retry: How often a trial is attempted, as the table [retry].
        notify: Which notifications a search sends, as the table [notify].
        schedule: When ``orchestrator beat`` runs the search again, as the table [schedule].

    Raises:
        BadInput: the first thing that is wrong, with what would be right.

    Example:
        from orchestrator import Search


        def objective(trial):
            x = trial.suggest_float("x", -10, 10)
            return (x - 2) ** 2


        study = Search(objective, name="parabola", trials=20).run()
        print(study.best_params)
    """

    def __init__(
        self,
        objective: Callable[..., Any] | str | None = None,
        *,
        name: str | None = None,
        direction: Direction | None = None,
        directions: Sequence[Direction] | None = None,
        trials: int | None = None,
        timeout: float | str | None = None,
        target: float | None = None,
        patience: int | None = None,
        max_total_steps: int | None = None,
        max_steps: int | None = None,
        parallel: int | None = None,
        lookahead: int | Literal["auto"] | None = None,
        seed: int | None = None,
        queue: str | None = None,
        priority: int | None = None,
        weight: float | None = None,
        catch: Sequence[str | type[BaseException]] | None = None,
        grace: float | None = None,
        stall_timeout: float | str | None = None,
        max_trial_time: float | str | None = None,
        timed_out: Literal["pruned", "failed"] | None = None,
        keep_models: int | None = None,
        args: Mapping[str, Any] | None = None,
        command: Mapping[str, Any] | None = None,
        code: Mapping[str, Any] | None = None,
        sampler: BaseSampler | Mapping[str, Any] | str | None = None,
        pruner: BasePruner | Mapping[str, Any] | str | None = None,
        shadow: BasePruner | Mapping[str, Any] | str | None = None,
        audit: float | None = None,
        space: Mapping[str, BaseDistribution | Mapping[str, Any]] | None = None,
        enqueue: Sequence[Mapping[str, Any]] | None = None,
        retry: Mapping[str, Any] | None = None,
        notify: Mapping[str, Any] | None = None,
        schedule: Mapping[str, Any] | None = None,
        **unknown: Never,
    ) -> None:
        given = {key: value for key, value in locals().items() if key not in ("self", "unknown", "objective")}
        given |= unknown
        bundle: CodeBundle | None = None
        if objective is not None:
            given["objective"], bundle = read_objective(objective)
        spec = validate(spec_table(given, SOURCE), SOURCE)
        settings = load_settings()
        self._keep(checked_spec(spec, settings, SOURCE, Path.cwd(), bundle), SOURCE)

    @classmethod
    @takes(path=arguments.path, name=or_none(arguments.text), trials=or_none(whole(1)))
    def from_file(cls, path: str | Path, *, name: str | None = None, trials: int | None = None) -> Self:
        """Returns the search of a spec file.

        Args:
            path: The TOML file.
            name: Name of the study, instead of the one in the file.
            trials: Number of trials in all, instead of the one in the file.

        Raises:
            BadInput: the file cannot be read or is no spec, as `orchestrator validate` says it.
        """
        search = cls.__new__(cls)
        file = Path(path)
        search._keep(load_spec(file, load_settings(), name, trials), str(file))
        return search

    @staticmethod
    @takes(folder=arguments.path)
    def init(folder: str | Path) -> tuple[Path, Path]:
        """Writes a first spec and objective that run as they are, with comments; returns the paths of both.

        Args:
            folder: Takes both files, and is made where it is missing. Files that are there are never overwritten.

        Raises:
            BadInput: there is a spec already, or the folder takes no files.
        """
        from orchestrator.spec import starter

        spec, objective = starter.write(Path(folder))
        return spec, objective

    def _keep(self, spec: Spec, source: str) -> None:
        self._spec, self._source = spec, source
        # Only Optuna, which takes a second to import, can judge these; a rule of ours was judged with the spec.
        if spec.sampler != type(spec.sampler)() or any(map(_is_foreign, (spec.pruner, spec.shadow))):
            check_sampler_and_pruner(spec, source)

    @property
    def spec(self) -> Spec:
        """The validated spec."""
        return self._spec

    @property
    def name(self) -> str:
        """Name of the study."""
        return self._spec.name

    @takes(
        slots=or_none(whole(1)),
        gpus=arguments.text,
        per_gpu=whole(1),
        gpus_per_trial=whole(1),
        data_dir=or_none(arguments.path),
        progress=arguments.flag,
    )
    def run(
        self,
        *,
        slots: int | None = None,
        gpus: str = "",
        per_gpu: int = 1,
        gpus_per_trial: int = 1,
        data_dir: str | Path | None = None,
        progress: bool = True,
    ) -> optuna.Study:
        """Runs the whole search on this machine, as `orchestrator run` does, and returns the study.

        It goes on with a study of the same name, and trains nothing where that has finished. Ctrl-C, or a notebook's
        stop button, stops the search in order and raises ``KeyboardInterrupt``; a second one ends it at once. The same
        call goes on with it.

        Args:
            slots: Trials at once; one per GPU, or 1 to 4 without one, where it is ``None``.
            gpus: GPUs to use, such as ``"0,1"``; all that are visible where it is empty.
            per_gpu: Slots that share one GPU.
            gpus_per_trial: GPUs that each slot has for itself.
            data_dir: Folder for the study, models and logs; ``ORCHESTRATOR_DATA_DIR``, or ``.orchestrator`` here,
                where it is ``None``.
            progress: Whether to show the search, live in a notebook and on a terminal.

        Returns:
            The study as Optuna's own object, whose storage stays open.

        Raises:
            BadInput: something cannot be used; no study was made or changed.
            StudyFailed: the search failed; the message says why.
            KeyboardInterrupt: it was interrupted.
        """
        from orchestrator.api.local_search import run_in_program
        from orchestrator.common.slot_options import SlotOptions

        chosen = SlotOptions(slots, gpus, per_gpu, gpus_per_trial)
        return run_in_program(self._spec, self._source, chosen, data_dir, progress)

    @takes(imports=arguments.flag)
    def validate(self, *, imports: bool = True) -> Answer:
        """Checks all that ``run`` needs, beside what was checked when the search was made; changes nothing.

        These are the settings, the servers, the study of that name, and the import of the objective.

        Args:
            imports: Whether the objective is imported, in a process of its own.

        Raises:
            BadInput: what would end ``run`` in its first seconds.
        """
        from orchestrator.api.validation import validated

        return validated(self._spec, self._source, load_settings(), imports=imports)

    @takes(fleet=or_none(_a_fleet))
    def submit(self, fleet: Fleet | None = None) -> StudyHandle:
        """Hands the search to the control plane of a fleet, and returns a handle of its study at once.

        The same search again goes on with the study.

        Args:
            fleet: From ``connect``; that of ``ORCHESTRATOR_REDIS_URL`` and ``ORCHESTRATOR_STORAGE_URL`` where it is
                ``None``.

        Raises:
            BadInput: something cannot be used, or the control plane refuses it.
            NoAnswer: no control plane answered within 10 s; it is kept, and applied when there is one.
        """
        from orchestrator.api.fleet import connect
        from orchestrator.api.submission import submit

        fleet = connect() if fleet is None else fleet
        submit(self._spec, self._source, fleet)
        return fleet.handle(self.name)

    def __repr__(self) -> str:
        spec = self._spec
        return f"<Search {spec.name!r}: {spec.trials} trials of {spec.trained}>"


def _is_foreign(rule: RuleArguments) -> bool:
    """Whether a rule, or the one inside it, is a class of Optuna's or of the user's."""
    inside = getattr(rule, "wrapped", None)
    return isinstance(rule, ForeignArguments) or (inside is not None and _is_foreign(inside))
