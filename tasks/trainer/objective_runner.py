"""Imports an objective and runs it once; whatever it does, the result is an outcome."""

from __future__ import annotations

import importlib
import math
import os
import reprlib
import signal
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import optuna

from tasks.code_bundle import objective_of, split_reference
from tasks.contract import Failed, FailureCause, Finished, Paused
from tasks.gc_tuning import rare_collections
from tasks.objective_allowlist import ALLOW_ALL, Allowlist, NotAdmitted
from tasks.process_guards import Interrupted
from tasks.program import command
from tasks.program import objective as program
from tasks.program.process import ProgramDied, ProgramMissing
from tasks.trainer.fork_guard import exit_forked_children
from tasks.trainer.interrupt import Interrupter, TrialStopped
from tasks.trainer.slicing import CheckpointMissing
from tasks.trainer.trial import WorkerTrial

TRACEBACK_CHARACTERS = 8_000
MESSAGE_CHARACTERS = 2_000
NAME_CHARACTERS = 200


class ObjectiveMissing(Exception):
    """The objective is not admitted, or cannot be imported or called; the message is one line."""


def load(reference: str, admission: Allowlist = ALLOW_ALL) -> Callable[..., Any]:
    """Imports ``module:function``, if it is admitted.

    Raises:
        ObjectiveMissing: it is not admitted, cannot be imported, is not there, or cannot be called.
    """
    sent_as = reference
    if (bundled := split_reference(reference)) is not None:
        # The keeper has admitted the bundle as a whole; what its names lead to is the bundle's own affair.
        reference, admission = bundled[1], ALLOW_ALL
    if refusal := admission.refuse(reference):
        raise ObjectiveMissing(refusal) from NotAdmitted(refusal)
    module_name, _, attribute = reference.partition(":")
    try:
        with rare_collections():
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        reason = " ".join(_message(error).split()) or "no message"
        raise ObjectiveMissing(
            f"{reference}: importing '{module_name}' raises {type(error).__name__}: {reason:.500}"
            + _not_sent(error, sent_as)
        ) from error
    try:
        found = admission.resolve(reference, module)
    except NotAdmitted as error:
        raise ObjectiveMissing(str(error)) from error
    if found is None:
        raise ObjectiveMissing(f"{reference}: '{module_name}' has no '{attribute}'")
    if not callable(found):
        raise ObjectiveMissing(
            f"{reference}: '{attribute}' is {type(found).__name__}, but must be a function taking an Optuna trial"
        )
    return found  # type: ignore[no-any-return]


def run(
    reference: str,
    trial: WorkerTrial,
    args: dict[str, Any],
    interrupter: Interrupter,
    token: str,
    admission: Allowlist = ALLOW_ALL,
) -> Finished | Failed | Paused | None:
    """Runs the objective to its end or that of its slice; returns ``None`` where it was told to stop."""
    try:
        objective = load(reference, admission)
    except ObjectiveMissing as error:
        cause = error.__cause__ or error
        return Failed(cause="import", error=_name(cause), message=_message(error), traceback=_tail(cause))
    # Files that come with a program make it no other command: the worker's list is asked all the same.
    if objective_of(reference) == command.OBJECTIVE and (refusal := program.refusal(args)):
        return Failed(cause="import", error=NotAdmitted.__name__, message=refusal)
    try:
        with interrupter.running(token), exit_forked_children(os.getpid()):
            result = objective(trial, **args)
    except TrialStopped:
        return None
    except optuna.TrialPruned:
        # The objective may have turned a pause into a TrialPruned of its own.
        return Paused(step=trial.slicing.last_report) if trial.slicing.over else Finished(pruned=True)
    except BaseException as error:  # sys.exit, KeyboardInterrupt and asyncio's cancellation end the trial, not us
        if interrupter.has_stopped(token):
            # C++ code that calls back into Python may turn the stop into another exception.
            return None
        if isinstance(error, Interrupted):
            return Failed(cause="died", error="KeyboardInterrupt", message="SIGINT", exit_code=-signal.SIGINT)
        return Failed(
            cause=cause_of(error),
            error=_name(error),
            message=_message(error) + _not_sent(error, reference),
            traceback=_tail(error),
            exit_code=error.exit_code if isinstance(error, ProgramDied) else None,
        )
    return judge(result, len(trial.study.directions))


def judge(result: object, objectives: int) -> Finished | Failed:
    """Applies Optuna's rules for the return value of an objective: one number for each objective."""
    try:
        raw = list(result) if isinstance(result, Sequence) and not isinstance(result, str) else [result]
    except Exception as error:  # it may be a class of the objective's own
        return _no_value(f"The values could not be read: {_name(error)}: {_message(error)}")
    values = []
    for item in raw:
        try:
            value = float(item)  # type: ignore[arg-type]
            is_nan = math.isnan(item)  # type: ignore[arg-type]  # refuses text, which float() reads
        except Exception:  # its own __float__ may raise anything
            return _no_value(f"The value {reprlib.repr(item):.200} could not be cast to float")
        if is_nan:
            return _no_value("The value nan is not acceptable", "nan")
        values.append(value)
    if len(values) != objectives:
        return _no_value(
            f"The number of the values {len(values)} did not match the number of the objectives {objectives}"
        )
    return Finished(values=tuple(values))


def cause_of(error: BaseException) -> FailureCause:
    """Returns the cause of a failure by its exception. Torch, which may not be installed, is matched by name."""
    if isinstance(error, CheckpointMissing):
        return "checkpoint"
    if isinstance(error, ProgramMissing):
        return "import"
    if isinstance(error, ProgramDied):
        return "died"
    names = {f"{each.__module__.partition('.')[0]}.{each.__name__}" for each in type(error).__mro__}
    if names & {"builtins.MemoryError", "torch.OutOfMemoryError"}:
        return "out_of_memory"
    # GPU libraries have no class of their own for it.
    if isinstance(error, RuntimeError) and "out of memory" in _message(error).lower():
        return "out_of_memory"
    return "exception"


def _not_sent(error: BaseException, reference: str) -> str:
    """Returns what the user does about a file or module of theirs that did not come with a bundle; empty for any other
    error."""
    bundled = split_reference(reference)
    if bundled is None:
        return ""
    if isinstance(error, FileNotFoundError) and bundled[0] in str(error.filename):
        return "; it did not come with the code: name it in 'include' of [code]"
    if isinstance(error, ModuleNotFoundError):
        return "; neither is it installed here, nor did it come with the code: name it in 'include' of [code]"
    return ""


def _no_value(message: str, cause: FailureCause = "value") -> Failed:
    return Failed(cause=cause, error="ValueError", message=_text(message))


def _name(error: BaseException) -> str:
    return _text(type(error).__name__[:NAME_CHARACTERS])


def _message(error: BaseException) -> str:
    try:
        return _text(str(error)[:MESSAGE_CHARACTERS])
    except Exception:  # the objective's own __str__ may raise anything
        return "(its text cannot be had)"


def _text(raw: str) -> str:
    # An exception may quote text that cannot be encoded or stored.
    return raw.replace("\0", "\\0").encode(errors="replace").decode()


def _tail(error: BaseException) -> str:
    try:
        text = _text("".join(traceback.format_exception(error)))
    except Exception:  # it may have attributes that format_exception does not expect
        return ""
    return text if len(text) <= TRACEBACK_CHARACTERS else "…" + text[-TRACEBACK_CHARACTERS:]
