"""Settings from variables without their prefix, and the message of a refusal."""

from __future__ import annotations

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.common.settings import Settings, load_settings

PREFIX = "ORCHESTRATOR_"


def loaded(**variables: str) -> Settings:
    return load_settings({PREFIX + name: value for name, value in variables.items()})


def refusal(**variables: str) -> str:
    with pytest.raises(BadInput) as caught:
        loaded(**variables)
    message = str(caught.value)
    assert "\n" not in message
    # A chained pydantic error would print the value that is being kept back.
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert caught.value.__cause__ is None
    return message
