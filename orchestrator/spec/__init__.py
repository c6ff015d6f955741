"""The spec of a search: what may stand in the file, how it is read, and when two specs are one search.

Importing this does not import Optuna; ``Spec.distributions`` and the functions of
``orchestrator.spec.pruner_factory`` and ``orchestrator.spec.sampler_factory`` do when they are called.
"""

from orchestrator.common.field_types import split_reference
from orchestrator.spec.compare import differences
from orchestrator.spec.load import load, parse
from orchestrator.spec.model import Spec

__all__ = ["Spec", "differences", "load", "parse", "split_reference"]
