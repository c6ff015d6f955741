"""The spec: every key it may hold, with its bounds and its default."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from pydantic import Field, Strict, model_validator

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import Fault, beneath, show
from orchestrator.common.field_types import (
    Arguments,
    ClassName,
    Configuration,
    Count,
    Duration,
    Name,
    Queue,
    Reference,
    entries,
)
from orchestrator.common.table import STORED, Table
from orchestrator.pruning import Direction
from orchestrator.pruning.registry import DEFAULT, NO_RULE, Pruner
from orchestrator.spec.code import CodeTable
from orchestrator.spec.command import CommandTable
from orchestrator.spec.configuration import check_values
from orchestrator.spec.lookahead import Lookahead
from orchestrator.spec.notify import NotifyTable, redact_webhook
from orchestrator.spec.retry import RetryTable
from orchestrator.spec.sampler_table import Sampler, SamplerTable
from orchestrator.spec.schedule import LONGEST_NAME, RunTable, ScheduleTable
from orchestrator.spec.space import FloatRange, Space, distributions
from tasks.program.command import OBJECTIVE as PROGRAM

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FORMAT = 1
"""The version of what ``Spec.to_json`` writes."""

MOST_OBJECTIVES = 10
"""Samplers compare trials by volumes whose cost grows fast with the number of objectives."""

MOST_EXPECTED = 1_000
"""Exceptions in ``catch``."""

MOST_ENQUEUED = 1_000
"""Enqueued configurations are trials that wait in the queue, too."""


class Spec(Table):
    """One search. It is frozen; callers do not change tables inside ``args`` either.

    Attributes:
        name: The study's name: in the database, in every command, in the names of folders.
        objective: The function that takes an Optuna trial, found as Python finds its module. A spec has this or
            [command].
        direction: Whether the smallest or the largest value is the best.
        directions: Two to ten, one for each value that the objective returns; then without ``direction``.
        trials: The budget: the search ends when so many trials in all have completed, were pruned or have failed.
        timeout: So long after its first trial began, a search starts no more trials; those that run may end. Pauses
            count.
        target: When a trial completes with this value or a better one, no more are started.
        patience: When so many trials after the best one have completed or were pruned, no more are started.
        max_total_steps: When all trials together have trained so many epochs or steps, no more are started.
        max_steps: Epochs or steps of a full trial, where known: for progress, savings, and the rungs of promotion.
        parallel: At most so many trials are underway at once; as many as there are slots where it is not set.
        lookahead: So many trials are sampled ahead and wait in the queue; with promotion none are, in any case.
            ``"auto"`` is as many as slots are expected to take until another one can follow: 1 with one slot.
        seed: Of the sampler, and of the audit's draw. With one slot, a search of the same seed repeats exactly.
        queue: The Celery queue; workers serve the queues that ``--queues`` names.
        priority: The higher, the sooner its trials begin: 7 to 9 go before 4 to 6, these before 1 to 3, 0 last. Trials
            that are attempted again, or that a user enqueued, go with the first.
        weight: Share of the slots, where several studies of one priority use a queue: with 2.0 a study begins twice as
            many trials as one with 1.0.
        catch: Exceptions that are expected: they fail their trial, but do not end a study whose first trials all fail.
        grace: Seconds that a trial has to end after a stop, before its process is killed.
        stall_timeout: An attempt that sends no report or checkpoint for so long is ended; never where it is not set.
        max_trial_time: A trial that has trained for so long is ended: its time on slots, over all of its attempts.
        timed_out: What such a trial is: ``"pruned"``, with the best value that it has reported, or ``"failed"``. One
            that has reported nothing has failed.
        keep_models: Of so many best trials the models are kept; of all where it is not set.
        args: Fixed keyword arguments of the objective: anything that JSON carries.
        command: A program that is run for each trial, in place of ``objective``.
        code: Code of your own that is sent to workers, and what these must have installed.
        sampler: Which sampler proposes parameters.
        pruner: Which rule stops trials early. Without it a new study gets ``median`` with ``n_warmup_steps = 5``, and
            one that exists keeps its rule; with several objectives no trial is pruned.
        shadow: A second rule that only records what it would have done, written like ``[pruner]``.
        audit: Share of the condemned trials that run on, to measure how many prunes are wrong.
        space: Parameters declared ahead, by their names, 1000 at most and with 10000 choices in all; without it the
            objective suggests for itself.
        enqueue: Up to 1000 configurations that are tried before anything is sampled, once each, within the budget.
        retry: How often a trial is attempted.
        notify: Which notifications a search sends.
        schedule: When ``orchestrator beat`` runs the search again.

    Example:
        name = "digits"
        objective = "tasks.objectives.digits:objective"
        direction = "maximize"
        trials = 40
        timeout = "2h"
        target = 0.99
        patience = 20
        max_total_steps = 800
        max_steps = 27
        parallel = 8
        seed = 7
        queue = "gpu"
        priority = 7
        weight = 2.0
        catch = ["ValueError", "torch.cuda.OutOfMemoryError"]
        stall_timeout = "10m"
        max_trial_time = "2h"
        keep_models = 3
        enqueue = [{ lr = 0.01, optimizer = "adam" }]
    """

    internal = frozenset({"run"})

    name: Name
    objective: Reference = ""
    direction: Direction = "minimize"
    directions: Annotated[tuple[Direction, ...], Strict(False), entries(MOST_OBJECTIVES)] = ()
    trials: Count
    timeout: Duration | None = None
    target: float | None = None
    patience: Count | None = None
    max_total_steps: Count | None = None
    max_steps: Count | None = None
    parallel: Count | None = None
    lookahead: Lookahead = "auto"
    # numpy's generators take 32 bits.
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    queue: Queue = "trials"
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    catch: Annotated[tuple[ClassName, ...], Strict(False), entries(MOST_EXPECTED)] = ()
    # A day: long beyond use, and short of what the platform's timers refuse.
    grace: Annotated[float, Field(gt=0, le=86_400)] = 10.0
    stall_timeout: Duration | None = None
    max_trial_time: Duration | None = None
    timed_out: Literal["pruned", "failed"] = "pruned"
    keep_models: Count | None = None
    args: Arguments = Field(default_factory=dict)
    command: CommandTable | None = None
    code: CodeTable | None = None
    sampler: Sampler = SamplerTable()
    pruner: Pruner = DEFAULT
    shadow: Pruner = NO_RULE
    audit: Annotated[float, Field(ge=0, lt=1)] = 0.0
    space: Space = Field(default_factory=dict)
    enqueue: Annotated[tuple[Configuration, ...], Strict(False), entries(MOST_ENQUEUED)] = ()
    retry: RetryTable = RetryTable()
    notify: NotifyTable = NotifyTable()
    schedule: ScheduleTable | None = None
    run: RunTable | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_objective(cls, data: Any) -> Any:
        """Refuses a table that has neither an objective nor a command, unless something else is to be said first."""
        said_first = not isinstance(data, dict) or "name" not in data or data.keys() - cls.model_fields.keys()
        if not said_first and not {"objective", "command"} & data.keys():
            remedy = "name a function as 'module:function', or give a table [command]"
            raise Fault("required key missing", remedy, ("objective",))
        return data

    @model_validator(mode="before")
    @classmethod
    def _check_directions(cls, data: Any) -> Any:
        """Takes a single one of ``directions`` for ``direction``, and refuses keys that several cannot go with."""
        if not isinstance(data, dict) or not isinstance(data.get("directions"), list | tuple):
            return data
        directions = data["directions"]
        if not directions:
            raise Fault("is empty", "give one for each value that the objective returns", ("directions",))
        if "direction" in data:
            raise Fault("stands beside 'direction'", "give one of them", ("directions",))
        if len(directions) == 1:
            data = {key: value for key, value in data.items() if key != "directions"} | {"direction": directions[0]}
        if len(directions) > 1:
            notify = data.get("notify")
            events = notify.get("on") if isinstance(notify, dict) else ()
            if isinstance(events, list | tuple) and "best" in events:
                problem = "names 'best', and with several objectives no trial is the best"
                raise Fault(problem, "take it out", ("notify", "on"))
            if data.get("keep_models") is not None:
                problem = "keeps the models of the best trials, and with several objectives no trial is the best"
                raise Fault(problem, "take it out; all models are kept then", ("keep_models",))
            for key in ("target", "patience"):
                if data.get(key) is not None:
                    problem = "looks at the best trial, and with several objectives no trial is the best"
                    raise Fault(problem, "take it out; timeout and max_total_steps are for every search", (key,))
            for key in ("pruner", "shadow"):
                table = data.get(key)
                if isinstance(table, dict) and table.get("name", "none") != "none":
                    problem = (
                        f"is {show(table['name'])}, and a study with several objectives cannot prune: "
                        "Optuna's report and should_prune are not defined for it"
                    )
                    raise Fault(problem, 'use name = "none"', (key, "name"))
            return {"pruner": NO_RULE} | data
        return data

    @model_validator(mode="after")
    def _check_together(self) -> Spec:
        _check_trained(self)
        check_rules(self)
        _check_enumerable(self)
        _check_enqueued(self)
        _check_scheduled(self)
        return self

    @property
    def objectives(self) -> tuple[Direction, ...]:
        """The direction of each value that the objective returns."""
        return self.directions or (self.direction,)

    @property
    def reference(self) -> str:
        """The objective that workers call."""
        objective = self.objective if self.command is None else PROGRAM
        return objective if self.code is None else self.code.reference(objective)

    @property
    def arguments(self) -> dict[str, Any]:
        """The keyword arguments that workers call it with."""
        if self.command is None:
            return self.args
        from optuna.distributions import distribution_to_json

        space = {name: distribution_to_json(each) for name, each in self.distributions().items()}
        return {"command": msgspec.to_builtins(self.command.command()), "space": space, "grace": self.grace}

    @property
    def trained(self) -> str:
        """What its trials run, in words: the objective, or the command as one would type it."""
        return self.objective if self.command is None else shlex.join(self.command.run)

    def budget(self, extra: int, there: int) -> int:
        """Returns the number of trials that the study is to have.

        Args:
            extra: Trials that users have added besides ``trials``.
            there: Trials that exist. They may be more than a budget that was lowered, and stay.
        """
        return max(self.trials + extra, there)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Returns Optuna's distributions of [space]; empty where the objective suggests for itself."""
        return distributions(self.space)

    def to_json(self) -> dict[str, Any]:
        """Returns what is stored beside the study: plain JSON with every default written out, so that a later
        version with other defaults still reads the same search."""
        data = {"format": FORMAT, **self.model_dump(mode="json")}
        del data["direction" if self.directions else "directions"]
        # A person's file does not have these keys either: of no schedule, with the other one of the two.
        absent = {"run": self.run, "command": self.command, "code": self.code, "objective": self.objective or None}
        for key in (key for key, value in absent.items() if value is None):
            del data[key]
        if self.code is not None:
            for key in (key for key in CodeTable.internal if not data["code"][key]):
                del data["code"][key]
        return data

    def stored(self) -> Spec:
        """Returns the spec as it is stored beside the study: the archive of its code has a place of its own."""
        if self.code is None or not self.code.archive:
            return self
        return self.model_copy(update={"code": self.code.model_copy(update={"archive": "", "author": ""})})

    def shown(self) -> dict[str, Any]:
        """Returns ``to_json`` with secrets masked, to show to any user."""
        data = self.stored().to_json()
        if self.notify.url is not None:
            data["notify"]["url"] = redact_webhook(self.notify.url)
        return data

    @classmethod
    def from_json(cls, data: Any) -> Spec:
        """Returns the spec that ``to_json`` wrote.

        Raises:
            BadInput: it was not written by ``to_json``, or by one of another version.
        """
        where = "stored spec"
        if not isinstance(data, dict) or "format" not in data:
            raise BadInput(where, "is no stored spec")
        if isinstance(data.get("name"), str):
            where += f" of study {show(data['name'])}"
        found = data["format"]
        if found != FORMAT or isinstance(found, bool):
            problem = f"is of format {show(found)}, and this program reads format {FORMAT}"
            raise BadInput(where, problem, "use the version that wrote it")
        return validate({key: value for key, value in data.items() if key != "format"}, where, stored=True)


def validate(data: dict[str, Any], source: str, *, stored: bool = False) -> Spec:
    """Returns the spec that ``data`` holds.

    Args:
        data: As parsed from TOML or JSON.
        source: Names the file or the study, for messages.
        stored: Whether this program wrote it, perhaps in an earlier version.

    Raises:
        BadInput: with the key of the first thing that is wrong.
    """
    try:
        return Spec.read(data, {STORED: stored})
    except Fault as fault:
        raise fault.blame(source) from None


def _check_trained(spec: Spec) -> None:
    if spec.command is None:
        return
    if spec.objective:
        raise Fault("stands beside [command]", "give one of them", ("objective",))
    if spec.args:
        raise Fault("are the objective's, and a program takes none", "write them into 'run' of [command]", ("args",))
    if len(spec.command.metric) != len(spec.objectives):
        problem = f"names {len(spec.command.metric)} for {len(spec.objectives)} directions"
        raise Fault(problem, "name one metric for each", ("command", "metric"))
    with beneath("command"):
        spec.command.check_placeholders(spec.space, has_files=spec.code is not None and bool(spec.code.include))


def check_rules(spec: Spec) -> None:
    """Refuses rules that the rest of the spec does not go with."""
    spec.pruner.check_steps(spec.max_steps, ("pruner",))
    if spec.shadow.promotes:
        problem = "pauses trials, and a shadow rule must be one that stops trials"
        raise Fault(problem, "use 'stopping'", ("shadow", "mode"))
    spec.shadow.check_steps(spec.max_steps, ("shadow",))
    if spec.audit and (spec.pruner.promotes or spec.pruner.name == "none"):
        which = f"mode '{getattr(spec.pruner, 'mode', '')}'" if spec.pruner.promotes else "pruner 'none'"
        problem = f"is {spec.audit:g}, and with {which} no trial is condemned that could be let run on"
        raise Fault(problem, "take it out, or choose a pruner that stops trials", ("audit",))


def _check_enqueued(spec: Spec) -> None:
    if not spec.enqueue:
        return
    space = spec.distributions()
    for index, params in enumerate(spec.enqueue):
        with beneath("enqueue", index):
            check_values(params, space)


def _check_scheduled(spec: Spec) -> None:
    schedule = spec.schedule
    if schedule is None:
        return
    if spec.run is None and len(spec.name) > LONGEST_NAME:
        problem = f"has {len(spec.name)} characters, and the runs of a schedule are called after it"
        raise Fault(problem, f"use at most {LONGEST_NAME}", ("name",))
    if schedule.flag_worse_by is not None and spec.directions:
        problem = "compares best values, and with several objectives no trial is the best"
        raise Fault(problem, "take it out", ("schedule", "flag_worse_by"))
    if spec.run is None and schedule.warm_start + len(spec.enqueue) > spec.trials:
        first = "" if not spec.enqueue else f" beside the {len(spec.enqueue)} of 'enqueue'"
        problem = f"is {schedule.warm_start}{first}, more than all {spec.trials} trials"
        raise Fault(problem, "make it smaller", ("schedule", "warm_start"))


def _check_enumerable(spec: Spec) -> None:
    name = spec.sampler.name
    if name == "cmaes" and spec.directions:
        raise Fault("'cmaes' takes one objective", "use nsgaii, tpe or gp for several", ("sampler", "name"))
    if name not in ("grid", "brute_force"):
        return
    if name == "brute_force" and not spec.space:
        return
    if not spec.space:
        raise Fault("'grid' needs a table [space]", "it takes its grid from there", ("sampler", "name"))
    for key, parameter in spec.space.items():
        if isinstance(parameter, FloatRange) and parameter.step is None:
            raise Fault(f"has no step, and '{name}' tries every value", "give it one", ("space", key))
