"""The slots of `run`: what a worker is given, and what no worker could do."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.common.slot_options import SlotOptions
from tasks.worker import options


@pytest.mark.parametrize(
    "given",
    [{}, {"slots": 3}, {"gpus": "0,1", "per_gpu": 2}, {"gpus": "GPU-5", "gpus_per_trial": 2, "slots": 1}],
)
def test_a_worker_takes_them_as_they_are(given: dict[str, Any]) -> None:
    parsed = vars(options.parse(SlotOptions(**given).arguments()))
    assert {key: parsed[key] for key in given} == given
    assert SlotOptions(**given).are_given is bool(given)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"slots": 0}, "run: slots: is an integer (0)"),
        ({"per_gpu": 1.5}, "run: per_gpu: is a float (1.5)"),
        ({"gpus_per_trial": True}, "run: gpus_per_trial: is a boolean (true)"),
        ({"gpus": [0]}, "run: gpus: is an array"),
        ({"gpus": "0,,1"}, "run: gpus: is '0,,1'"),
        ({"per_gpu": 2, "gpus_per_trial": 2}, "slots share a GPU, or have several"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadInput) as caught:
        SlotOptions(**given)
    assert problem in str(caught.value)
