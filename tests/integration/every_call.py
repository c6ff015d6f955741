"""An objective that asks its trial and its study everything there is to be asked, and writes down the answers.

Nothing here knows of this program: it runs under ``study.optimize`` too, where the answers are those that are right.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import json
import math
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

FIXED: dict[str, Any] = {
    "given": 0.25,
    "far": 99,
    "whole": 3.0,
    "flag": 1,
    "none of these": 7,
    "text": "b",
    "word": "word",
    "int": 4,
    "log": 0.5,
    "step": 0.5,
    "half": 2.5,
    "true": True,
    "not a number": "abc",
    "old": 0.5,
    "older": 0.5,
    "oldest": 0.5,
    "is_int": 3,
}
"""What is enqueued, so that both sides are given the same values."""


class Color(enum.Enum):
    RED = 1


class Name(str, enum.Enum):  # noqa: UP042 - a member is text, and prints otherwise
    KEY = "key"


class Text(str):
    __slots__ = ()


CALLS = """
trial.suggest_float('given', 0, 1)
trial.suggest_float('given', 0, 1)
trial.suggest_float('given', 0, 2)
trial.suggest_float('given', 0, 1, step=0.25)
trial.suggest_int('given', 0, 1)
trial.suggest_categorical('given', [1, 2])
trial.suggest_float('far', 0, 10)
trial.suggest_int('whole', 0, 10)
trial.suggest_int('half', 0, 10)
trial.suggest_categorical('flag', [False, True])
trial.suggest_categorical('none of these', [1, 2])
trial.suggest_categorical('text', ['a', 'b'])
trial.suggest_categorical('text', ['a', 'b', 'c'])
trial.suggest_categorical('word', ('word', 2, 2.5, True, None))
trial.suggest_int('int', 0, 10, step=3)
trial.suggest_int('int', 0, 10, step=2)
trial.suggest_float('log', 1e-3, 1, log=True)
trial.suggest_float('step', 0, 1, step=0.3)
trial.suggest_categorical('true', [True, False])
trial.suggest_float('not a number', 0, 1)
trial.suggest_float('free', 0, 1)
trial.suggest_float(name='free log', low=1e-5, high=1, log=True)
trial.suggest_int('free int', 0, 9)
trial.suggest_int('free int log', 1, 9, log=True)
trial.suggest_categorical('free choice', ['x', 'y'])
trial.suggest_float('single', 0.5, 0.5)
trial.suggest_int('one', 3, 3)
trial.suggest_int('one step', 3, 4, step=2)
trial.suggest_categorical('only', ['this'])
trial.suggest_categorical('free odd', [0.1, float('nan')])
trial.suggest_categorical('doubled', ['a', 'a'])
trial.suggest_categorical('same', [1, True])
trial.suggest_categorical('none', [])
trial.suggest_categorical('members', [Color.RED])
trial.suggest_categorical('names', [Name.KEY])
trial.suggest_categorical('classes', [int])
trial.suggest_categorical('numpy', [np.int64(1)])
trial.suggest_categorical('numpy floats', [np.float64(0.5)])
trial.suggest_categorical('text alone', 'a')
trial.suggest_categorical('no sequence', 5)
trial.suggest_categorical('bytes', [b'a'])
trial.suggest_float('reversed', 1, 0)
trial.suggest_float('nan low', float('nan'), 1)
trial.suggest_float('nan high', 0, float('nan'))
trial.suggest_float('infinite', 0, float('inf'))
trial.suggest_float('text bounds', 'a', 'b')
trial.suggest_float('texts of numbers', '0.5', '0.5')
trial.suggest_float('none bounds', None, 1)
trial.suggest_float('log of zero', 0, 1, log=True)
trial.suggest_float('log of less', -1, 1, log=True)
trial.suggest_float('log and step', 0.1, 1, log=True, step=0.1)
trial.suggest_float('step of zero', 0, 1, step=0)
trial.suggest_float('step of less', 0, 1, step=-1)
trial.suggest_float('step of all', 0, 1, step=2.0)
trial.suggest_float('step of nan', 0, 1, step=float('nan'))
trial.suggest_float('numpy', np.float32(0.5), np.float64(0.5))
trial.suggest_float('positional', 0, 1, 0.1)
trial.suggest_float('too few', 0)
trial.suggest_float('decimal', decimal.Decimal('0.5'), 0.5)
trial.suggest_int('reversed ints', 1, 0)
trial.suggest_int('text ints', 'a', 'b')
trial.suggest_int('floats', 0.5, 0.9)
trial.suggest_int('half floats', 3.0, 3.0)
trial.suggest_int('log of zero int', 0, 1, log=True)
trial.suggest_int('log and steps', 1, 8, log=True, step=2)
trial.suggest_int('step of nothing', 0, 1, step=0)
trial.suggest_int('step of half', 0, 1, step=0.5)
trial.suggest_int('numpy int', np.int64(3), np.int32(3))
trial.suggest_int('huge', 2**70, 2**70)
trial.suggest_int('nan int', float('nan'), 1)
trial.suggest_int('infinite int', 0, float('inf'))
trial.suggest_float(Name.KEY, 0.5, 0.5)
trial.suggest_float(Text('sub'), 0.5, 0.5)
trial.suggest_float(np.str_('numpy name'), 0.5, 0.5)
trial.suggest_float('', 0.5, 0.5)
trial.suggest_float('ünï😀', 0.5, 0.5)
trial.suggest_uniform('old', 0, 1)
trial.suggest_loguniform('older', 1e-3, 1)
trial.suggest_discrete_uniform('oldest', 0, 1, 0.5)
trial.report(0.5, 0)
trial.report(0.25, 0)
trial.report(0.5, step=1.7)
trial.report('0.5', '3')
trial.report(np.float32(0.5), np.int64(4))
trial.report(True, True)
trial.report(float('nan'), 5)
trial.report(float('inf'), 6)
trial.report(-1e-300, 7)
trial.report('x', 8)
trial.report(None, 8)
trial.report([0.5], 8)
trial.report(np.array([0.5, 1]), 8)
trial.report(1j, 8)
trial.report(10**400, 8)
trial.report(0.5, -1)
trial.report(0.5, None)
trial.report(0.5, 'x')
trial.report(0.5, float('nan'))
trial.report(0.5, float('inf'))
trial.report(0.5)
trial.should_prune()
trial.should_prune(1)
trial.set_user_attr('text', 'ünï😀')
trial.set_user_attr('nul', 'a\\x00b')
trial.set_user_attr('number', 1)
trial.set_user_attr('number', 2)
trial.set_user_attr('huge', 2**64)
trial.set_user_attr('huger', 10**400)
trial.set_user_attr('nan', float('nan'))
trial.set_user_attr('infinite', [float('inf'), -float('inf')])
trial.set_user_attr('none', None)
trial.set_user_attr('nested', {'a': [1, {'b': (2, 3)}]})
trial.set_user_attr('keys', {1: 'a', None: 'b', True: 'c', 0.5: 'd'})
trial.set_user_attr('set', {1, 2})
trial.set_user_attr('bytes', b'a')
trial.set_user_attr('array', np.zeros(2))
trial.set_user_attr('numpy float', np.float64(0.5))
trial.set_user_attr('numpy int', np.int64(1))
trial.set_user_attr('numpy bool', np.bool_(True))
trial.set_user_attr('member', Color.RED)
trial.set_user_attr('name', Name.KEY)
trial.set_user_attr(Name.KEY, 1)
trial.set_user_attr(np.str_('numpy key'), 1)
trial.set_user_attr('', 1)
trial.set_user_attr('deep', nested(90))
trial.set_user_attr('circle', circle())
trial.set_user_attr('object', object())
trial.set_user_attr('date', datetime.datetime(2020, 1, 1))
trial.set_user_attr('only key')
trial.set_constraint('c', 'abc')
trial.set_constraint('c', [1])
trial.set_constraint('c', None)
trial.set_constraint('c', float('nan'))
trial.set_constraint('c', 10**400)
trial.set_constraint('c', '0.5')
trial.set_constraint('d', 1)
trial.set_constraint('d', 2)
trial.set_constraint('e', float('inf'))
trial.set_constraint('f', np.float32(-1))
trial.set_constraint('g', True)
trial.set_constraint('', 0)
trial.params.clear()
trial.user_attrs.clear()
trial.distributions.clear()
trial.nothing_of_the_kind
copy.copy(trial).params == trial.params
copy.deepcopy(trial.study.user_attrs)
pickle.loads(pickle.dumps(trial)).number == trial.number
isinstance(trial, optuna.trial.BaseTrial)
isinstance(trial.study, optuna.Study)
trial.storage is trial.study._storage
trial.storage.get_trial(trial._trial_id)
trial.storage.get_trial_system_attrs(trial._trial_id)
trial.storage.get_n_trials(trial.study._study_id)
trial.storage.get_best_trial(trial.study._study_id)
study._is_multi_objective()
study.get_trials()
study.get_trials(deepcopy=False)
study.get_trials(states=(TrialState.COMPLETE,))
study.get_trials(states=[])
study.get_trials(states=5)
study.trials_dataframe()
study.trials_dataframe(attrs=('number', 'value', 'params'), multi_index=True)
study.trials_dataframe(attrs=('nothing',))
study.set_user_attr('owner', {'name': 'me'})
study.set_user_attr('owner', 'you')
study.set_user_attr('set', {1})
study.set_user_attr('huge', 2**64)
study.user_attrs
study.user_attrs.clear()
study.set_metric_names(['loss'])
study.set_metric_names(['a', 'b'])
study.metric_names
study.best_trials
study.enqueue_trial({'x': 0.5}, user_attrs={'why': 'to see'})
study.enqueue_trial({'x': 0.5}, skip_if_exists=True)
study.enqueue_trial({'x': {1, 2}})
study.enqueue_trial('x')
study.enqueue_trial([('x', 1)])
study.enqueue_trial({1: 2})
study.add_trial(create_trial(state=TrialState.WAITING))
study.add_trial(create_trial(values=[1.0, 2.0, 3.0]))
study.add_trials([])
study.optimize(lambda _: 0.0, n_trials=1)
study.tell(10**6, 0.5)
study.tell('x', 0.5)
study.stop()
study.nothing_of_the_kind
optuna.importance.get_param_importances(study)
optuna.visualization.plot_optimization_history(study)
optuna.terminator.report_cross_validation_scores(trial, [0.1, 0.2])
"""
"""One a line, in this order; what is no method is asked for too."""

REFUSED = """
trial.suggest_categorical('dicts', [{'a': 1}])
trial.suggest_categorical('lists', [[1, 2]])
trial.suggest_categorical('tuples', [(1, 2)])
trial.suggest_float(5, 0.5, 0.5)
trial.suggest_float(None, 0.5, 0.5)
trial.suggest_float('\\x00', 0.5, 0.5)
trial.suggest_float('a\\nb', 0.5, 0.5)
trial.suggest_float('\\udce9', 0.5, 0.5)
trial.suggest_float('n' * 600, 0.5, 0.5)
trial.report(0.5, 2**31 - 1)
trial.report(0.5, 2**31)
trial.report(0.5, 2**64)
trial.set_user_attr('beyond digits', 10**5000)
trial.set_user_attr('tuples', {(1, 2): 3})
trial.set_user_attr(None, 1)
trial.set_user_attr('surrogate', '\\udce9')
trial.set_user_attr('\\udce9', 1)
trial.set_user_attr('\\x00', 1)
trial.set_user_attr('k' * 600, 1)
trial.set_user_attr('large', 'x' * 2**20)
trial.set_user_attr('deeper', nested(600))
trial.set_user_attr('retry_of', 1)
study.set_user_attr('surrogate', '\\udce9')
study.set_user_attr(None, 1)
study.set_user_attr('orchestrator_mine', 1)
study.add_trial(create_trial(value=1.0))
study.add_trials([create_trial(value=1.0)])
study.tell(trial, 0.5)
study.ask()
study.ask(fixed_distributions={'x': 5})
"""
"""What Optuna stores, or some of its storages, and that changes what it answers afterwards. So it comes last."""


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


NAMES: dict[str, Any] = {
    "Color": Color,
    "Name": Name,
    "Text": Text,
    "TrialState": TrialState,
    "circle": circle,
    "copy": copy,
    "create_trial": create_trial,
    "datetime": datetime,
    "decimal": decimal,
    "nested": nested,
    "np": np,
    "optuna": optuna,
    "pickle": pickle,
}
"""What the calls name."""


def calls() -> list[str]:
    """Everything that is asked; what has been added to Optuna since and is no method, too."""
    listed = CALLS.strip().splitlines()
    for owner, kind in (("trial", Trial), ("study", optuna.Study)):
        for name in public(kind):
            if not callable(getattr(kind, name)):
                listed.append(f"{owner}.{name}")
    attributes = ["study.sampler", "study.pruner", "study.study_name", "trial.study", "trial.relative_search_space"]
    return [*listed, *attributes, *REFUSED.strip().splitlines()]


def never_called() -> list[str]:
    """Returns the methods that Optuna has and this list does not name."""
    return [
        f"{owner}.{name}"
        for owner, kind in (("trial", Trial), ("study", optuna.Study))
        for name in public(kind)
        if callable(getattr(kind, name)) and f"{owner}.{name}(" not in CALLS + REFUSED
    ]


def public(kind: type) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_")]


def objective(trial: optuna.Trial, folder: str) -> float | tuple[float, float]:
    several = len(trial.study.directions) > 1
    trial.suggest_float("x", 0, 1)
    if trial.number == 0:
        if not several:
            trial.report(0.75, 2)
        trial.set_constraint("memory", -1)
        trial.set_user_attr("note", {"a": None})
        return (0.5, 1.5) if several else 0.5
    answers = {f"{number} {call}": asked(call, trial) for number, call in enumerate(calls())}
    Path(folder, "answers.json").write_text(json.dumps(answers))
    return (1.0, 2.0) if several else 1.0


def asked(call: str, trial: optuna.Trial) -> list[Any]:
    """Returns the answer or the error, and the warnings."""
    names = NAMES | {"trial": trial, "study": trial.study}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Python says this of a connection whenever it collects one, in whatever call it happens to be.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            # Of suggestions that were not enqueued the kind alone can be compared.
            value = eval(call, names)
            answer = type(value).__name__ if "'free" in call else shown(value)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
    said = dict.fromkeys(f"{each.category.__name__}: {plain(str(each.message))}" for each in caught)
    return [plain(answer), list(said)]


def plain(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", text).replace("Worker", "")[:2_000]


def shown(value: Any) -> str:
    """Returns a value as text that does not depend on the moment or the draw."""
    if isinstance(value, str) and type(value) is not str:
        return f"str {str.__str__(value)!r}"
    if isinstance(value, FrozenTrial):
        kept = {key: each for key, each in value.user_attrs.items() if key != "source"}
        params = sorted(shown(name) for name in value.params if name != "x")
        parts = (value.state.name, value.values, value.datetime_start is None, value.datetime_complete is None, params)
        system = sorted(key for key in value.system_attrs if not key.startswith("orchestrator:"))
        return f"trial {value.number} {parts} {sorted(map(shown, kept))} {system} {value.intermediate_values}"
    if isinstance(value, list) and value and isinstance(value[0], FrozenTrial):
        return " | ".join(map(shown, value))
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if key not in ("x", "source")}
        drawn = {key: type(each).__name__ for key, each in kept.items() if str(key).startswith("free")}
        return f"dict {sorted((shown(key), shown(each)) for key, each in (kept | drawn).items())}"
    if isinstance(value, float) and math.isnan(value):
        return "float nan"
    if isinstance(value, datetime.datetime):
        return f"datetime {value.tzinfo}"
    if type(value).__name__ == "DataFrame":
        return f"DataFrame {len(value)} {sorted(str(each) for each in value.columns if 'source' not in str(each))}"
    if type(value).__module__.partition(".")[0] in ("optuna", "plotly", "tasks"):
        return "an object of theirs" if not isinstance(value, enum.Enum) else str(value)
    return f"{type(value).__name__} {value!r}"
