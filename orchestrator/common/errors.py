"""Errors that a user can meet: one base class, with fields and a message that says what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from orchestrator.common.formatting import one_line

# Names in Optuna, Ray Tune and the papers, and the names here.
_ELSEWHERE = {
    "eta": "reduction_factor",
    "grace_period": "min_resource",
    "max_t": "max_steps",
    "metric": "direction",
    "mode": "direction",
    "n_jobs": "parallel",
    "n_trials": "trials",
    "num_samples": "trials",
    "r": "min_resource",
    "s": "min_early_stopping_rate",
}


class OrchestratorError(Exception):
    """Base class. ``exit_code`` is what the command line ends with."""

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is made again from its text alone, which is not what most classes take; one that cannot be made
        # again breaks or hangs a pool of processes, whose results are pickled.
        return _made_again, (type(self), self.args, dict(self.__dict__))


def _made_again(cls: type[OrchestratorError], args: tuple[Any, ...], attributes: dict[str, Any]) -> OrchestratorError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


class BadInput(OrchestratorError):
    """What the user gave cannot be used; nothing was changed.

    Args:
        where: The thing that is wrong: a file, a key, a setting.
        problem: What is wrong with it.
        remedy: What would be right; empty where the problem says so itself.
    """

    exit_code = 2

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        self.where = where
        self.problem = problem
        self.remedy = remedy
        text = f"{where}: {problem}" + (f"; {remedy}" if remedy else "")
        super().__init__(one_line(text))

    def within(self, source: str) -> BadInput:
        """Returns the error with the name of the file or option in front that holds the wrong thing."""
        return BadInput(f"{source}: {self.where}", self.problem, self.remedy)


class NotReached(BadInput):
    """There is no connection to a server: its URL is wrong, or it is away."""


class ServerTrouble(OrchestratorError):
    """A server refuses this client (``exit_code`` 2), or does not answer now and may in a moment (1)."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class NotTheWriter(OrchestratorError):
    """Another control plane holds the writer's lease; this one must not write."""


class StudyGone(OrchestratorError):
    """Another process has deleted or renamed a study of ours; what is in memory belongs to no study of that name."""


class StudyFailed(OrchestratorError):
    """A search that ended without being able to do its work."""


def reason_of(error: Exception) -> str:
    """Returns what an error says: of the operating system's its words alone, without number and file."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ``did you mean 'x'?`` for the nearest known name, or the list of known names."""
    names = sorted(known)
    elsewhere = _ELSEWHERE.get(name)
    # The search is quadratic in the length of the text, and no known name is long. Of names that differ in upper and
    # lower case alone the last one stands for all.
    by_case = {each.casefold(): each for each in names}
    short = name[:100].casefold()
    close = [elsewhere] if elsewhere in names else difflib.get_close_matches(short, by_case, n=1)
    # Or the user gave the beginning of a name, such as that of a schedule, whose runs add the time to it.
    close = close or (
        [each for each in sorted(by_case, reverse=True) if each.startswith(short)][:1] if len(short) > 2 else []
    )
    close = [by_case.get(each, each) for each in close]
    return f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(names)


class ConsumerGroupMissing(Exception):
    """The consumer group is gone: the server was emptied, or is another one."""


class ForeignWrite(OrchestratorError):
    """Another process has finished a trial of ours; what is in memory does not hold any more."""
