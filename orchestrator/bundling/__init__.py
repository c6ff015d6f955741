"""Code bundles: a function's source, and what it names of its own module and package, as files that can be sent."""

from orchestrator.bundling.bundle import bundle_of_function as bundle_of_function
from tasks.code_bundle import CodeBundle as CodeBundle
