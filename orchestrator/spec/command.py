"""The table [command]: a program that is run for each trial, in place of an objective."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, model_validator

from orchestrator.common.errors import did_you_mean
from orchestrator.common.faults import Fault, beneath, show
from orchestrator.common.field_types import check_text, entries
from orchestrator.common.table import Table
from tasks.program.command import CODE_DIR, PLACES, BadPlaceholder, Command, placeholders
from tasks.program.metrics import CHECKPOINT

MOST_WORDS = 1_000
MOST_PATTERNS = 100
MOST_VARIABLES = 100
WORD_LENGTH = 8_192
NAME_LENGTH = 512

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """Refuses a command that cannot be started.

    Raises:
        Fault: it names no program, or has words that are very long or cannot be passed on.
    """
    if not words or not words[0].strip():
        raise Fault("names no program", 'write its words as an array, as in ["python", "train.py"]')
    for index, word in enumerate(words):
        _check_word(word, (index,))
    return words


def _check_word(word: str, key: tuple[str | int, ...]) -> None:
    check_text(word, key)
    if len(word) > WORD_LENGTH:
        raise Fault(f"has {len(word)} characters", f"it may have at most {WORD_LENGTH}", key)


def _check_array(value: Any) -> Any:
    if isinstance(value, str):
        raise Fault("is a string", 'write its words as an array, as in ["python", "train.py", "--lr", "{lr}"]')
    return value


def _check_variables(variables: dict[str, str]) -> dict[str, str]:
    for name, value in variables.items():
        if not _VARIABLE.fullmatch(name):
            raise Fault("cannot be the name of a variable", "use letters, digits and _", (name,))
        if name.startswith("ORCHESTRATOR_"):
            raise Fault("is set by this program", "take another name", (name,))
        _check_word(value, (name,))
    return variables


def _check_metric_name(name: str) -> str:
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise Fault(f"cannot be {show(name)}", f"a metric's name has 1 to {NAME_LENGTH} printable characters")
    if name == CHECKPOINT:
        raise Fault(f"cannot be {show(name)}", "that key of a report says that a checkpoint is complete")
    return name


def _check_metrics(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _check_patterns(patterns: dict[str, str]) -> dict[str, str]:
    for name, text in patterns.items():
        try:
            groups = re.compile(text).groups
        except (re.error, RecursionError, OverflowError) as error:
            raise Fault(f"is no regular expression: {error}", "", (name,)) from None
        if groups < 1:
            raise Fault("has no group", f"put brackets around the number, as in '{name}=([\\d.]+)'", (name,))
    return patterns


MetricName = Annotated[str, AfterValidator(_check_metric_name)]


class CommandTable(Table):
    """A program that is run for each trial, in place of ``objective``.

    No shell puts it together: each word is one argument, and ``{lr}`` in it is the value of the parameter ``lr`` of
    [space]. ``{params_file}`` names a JSON file with all parameters, ``{checkpoint_dir}`` and ``{artifact_dir}`` name
    folders, ``{code_dir}`` the one with the files of [code], ``{trial}`` and ``{study}`` are the number and the name;
    ``{{`` and ``}}`` are plain braces.

    Attributes:
        run: The program and its arguments. It is started in the folder in which the worker was, ``python`` being the
            worker's own.
        env: Variables that are set for it, with the same placeholders.
        metric: The metric that is the trial's value; an array of as many as there are ``directions``.
        step: The metric that counts epochs or steps. Where it is never reported, each value counts as one.
        result: Whether the trial's value is the ``"last"`` one that was reported, or the ``"best"``.
        metrics: Regular expressions by the name of the metric that their first group is, for a program that prints its
            metrics. Each has a second of processor time for a line.

    Example:
        [command]
        run = ["python", "train.py", "--lr", "{lr}"]
        env = { OMP_NUM_THREADS = "1" }
        metric = "val_acc"
        step = "epoch"
        result = "best"

        [command.metrics]
        epoch = 'epoch (\\d+)'
        val_acc = 'val_acc=([\\d.]+)'

        [space]
        lr = { type = "float", low = 1e-4, high = 1e-1, log = true }
    """

    run: Annotated[
        tuple[str, ...],
        Strict(False),
        AfterValidator(check_words),
        entries(MOST_WORDS),
        BeforeValidator(_check_array),
    ]
    env: Annotated[dict[str, str], AfterValidator(_check_variables), entries(MOST_VARIABLES)] = Field(
        default_factory=dict
    )
    metric: Annotated[tuple[MetricName, ...], Strict(False), BeforeValidator(_check_metrics)] = ("value",)
    step: MetricName = "step"
    result: Literal["last", "best"] = "last"
    metrics: Annotated[dict[MetricName, str], AfterValidator(_check_patterns), entries(MOST_PATTERNS)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _check_together(self) -> CommandTable:
        if self.step in self.metric:
            raise Fault(f"is {show(self.step)}, and so is 'metric'", "name another one", ("step",))
        if len(set(self.metric)) != len(self.metric):
            raise Fault("names a metric twice", "name one for each direction", ("metric",))
        if self.metrics and (missing := [name for name in self.metric if name not in self.metrics]):
            problem = f"has no pattern for {show(missing[0])}, which is the trial's value"
            raise Fault(problem, "add one, or name another 'metric'", ("metrics",))
        return self

    def check_placeholders(self, parameters: Iterable[str], *, has_files: bool) -> None:
        """Refuses placeholders that nothing fills.

        Args:
            parameters: Names of the parameters of [space].
            has_files: Whether files go with the search.

        Raises:
            Fault: with the word that holds one; or files go with the search, and no word leads to them.
        """
        known = [*parameters, *PLACES, *([CODE_DIR] if has_files else [])]
        words: list[tuple[tuple[str | int, ...], str]] = [(("run", index), word) for index, word in enumerate(self.run)]
        named = set[str]()
        for key, text in [*words, *((("env", name), value) for name, value in self.env.items())]:
            with beneath(*key):
                named |= _check_filled(text, known)
        if has_files and CODE_DIR not in named:
            problem = f"names {{{CODE_DIR}}} nowhere, the folder in which a worker has the files of [code]"
            raise Fault(problem, f'write it before their names, as in "{{{CODE_DIR}}}/train.py"', ("run",))
        if has_files and CODE_DIR in placeholders(self.run[0]):
            problem = f"is a file of {{{CODE_DIR}}}, and files are sent without the mode that lets them run"
            raise Fault(problem, f'name what runs it, as in ["bash", "{{{CODE_DIR}}}/train.sh"]', ("run", 0))

    def command(self) -> Command:
        """Returns what workers are told."""
        return Command(
            run=self.run, env=self.env, metric=self.metric, step=self.step, result=self.result, patterns=self.metrics
        )


def _check_filled(text: str, known: list[str]) -> set[str]:
    """Returns the names of a word's placeholders. Raises Fault where one of them is unknown."""
    try:
        names = list(placeholders(text))
    except BadPlaceholder as error:
        raise Fault(str(error), "write a plain brace twice, '{{' or '}}'") from None
    for name in names:
        if name not in known:
            if name == CODE_DIR:
                raise Fault(f"names {show(name)}, and no files go with this search", "name them in 'include' of [code]")
            remedy = did_you_mean(name, known) if name.isidentifier() else "write plain braces twice, '{{' and '}}'"
            raise Fault(f"names {show(name)}, which is no parameter of [space]", remedy)
    return set(names)
