"""The page docs/spec.md, made of the model: every table and key of a spec, with type, bounds, default and meaning.

``python -m tests.spec_reference > docs/spec.md`` writes it anew; a test holds the page to the model. The
docstring of a table says what the table is for, what each key means under ``Attributes``, and gives TOML under
``Example``.
"""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

from orchestrator.common.field_types import LARGEST_INTEGER
from orchestrator.common.foreign_classes import kinds
from orchestrator.common.table import Table
from orchestrator.pruning import registry
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.pruning.foreign import OPTUNAS, ForeignArguments
from orchestrator.spec.model import Spec
from orchestrator.spec.pruner_factory import pruner_class
from orchestrator.spec.sampler_factory import BOUNDS, allowed_arguments, sampler_class
from orchestrator.spec.sampler_table import SAMPLERS, SamplerTable

COMMAND: Final = "python -m tests.spec_reference > docs/spec.md"

_HEAD: Final = f"""\
# The spec

<!-- Made by `{COMMAND}`; what stands here is changed in orchestrator/spec. -->

A search is one TOML file. `orchestrator validate SPEC` checks it, imports the objective, and trains nothing. What
is wrong is said in one line that names the key and what would be right; a key that is not listed here is refused, not
ignored.

A *name* has 1 to 128 of the characters `A-Z a-z 0-9 . _ -`, with a letter or digit first. A *duration* is a number of
seconds, or a text such as `"90s"`, `"1.5m"`, `"2h"`, `"1d"`. Integers go up to {LARGEST_INTEGER} unless another
bound is given, numbers are finite. Where the default is –, a key that is left out has no effect, unless its meaning
says what holds then.
"""
_OPTUNA: Final = "[Optuna](https://optuna.readthedocs.io/en/stable/reference/index.html) says what they mean."
_TYPES: Final = {"object": "table"}
_PLAIN: Final = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}
_NONE: Final = "–"
_ARGS: Final = "[args]\nepochs = 27\n"


@dataclass(frozen=True)
class Section:
    """A table of the spec, or one of several kinds that it may be.

    Attributes:
        field: Its key at the top of the spec; empty for the keys outside of all tables.
        model: What it may hold; None where its keys are the user's own.
        kind: Which kind this is, where there are several.
    """

    field: str
    model: type[Table] | None
    kind: str = ""

    @property
    def name(self) -> str:
        """Names the section: ``retry``, ``pruner.median``; empty for the keys outside of all tables."""
        return f"{self.field}.{self.kind}" if self.kind else self.field

    @property
    def example(self) -> str:
        """TOML that holds the table."""
        return _ARGS if self.model is None else _parts(self.model)[2]


def sections() -> list[Section]:
    """Returns all of them in the order of the model. A table that is written like an earlier one has none."""
    found = [Section("", Spec)]
    seen: set[type[Table]] = set()
    for name in keys(Spec):
        field = Spec.model_fields[name]
        models = _models(field.annotation)
        if not models and get_origin(field.annotation) is dict:
            found.append(Section(name, None))
        fresh = [model for model in models if model not in seen]
        seen |= set(models)
        found += [Section(name, model, _kind(model) if len(models) > 1 else "") for model in fresh]
    return found


def meanings(model: type[Table]) -> dict[str, str]:
    """Returns what each key means, as the docstrings of the table and of its bases have it."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, Table):
            entries = re.findall(r"^(\w+): (.*(?:\n +.*)*)", _parts(each)[1], flags=re.MULTILINE)
            found |= {key: _prose(text) for key, text in entries}
    return found


def _parts(model: type[Table]) -> tuple[str, str, str]:
    """Returns what the docstring says of the table, of its keys, and its example."""
    text, _, example = inspect.cleandoc(model.__doc__ or "").partition("\n\nExample:\n")
    text, _, listed = text.partition("\n\nAttributes:\n")
    return text, textwrap.dedent(listed), textwrap.dedent(example) + "\n"


def keys(model: type[Table]) -> list[str]:
    """Returns the keys of a table, those of its bases last.

    The key that only says which kind it is, and those that only this program writes, are not among them.
    """
    properties = model.model_json_schema()["properties"]
    own_first = dict.fromkeys(key for each in model.__mro__ for key in vars(each).get("__annotations__", ()))
    fields = [key for key in own_first if key in model.model_fields]
    return [key for key in fields if "const" not in properties[key] and key not in model.internal]


def reference() -> str:
    """Returns the page."""
    blocks = [_HEAD]
    several = ""
    for section in sections():
        if section.kind and section.field != several:
            lead = textwrap.fill(f"{meanings(Spec)[section.field]} Its kinds:", 120, break_on_hyphens=False)
            blocks.append(f"## [{section.field}]\n\n{lead}\n")
        several = section.field if section.kind else ""
        blocks += _section(section)
    return "\n".join(blocks)


def _section(section: Section) -> list[str]:
    blocks = []
    if section.kind:
        blocks.append(f"### {section.kind}\n")
    else:
        blocks.append(f"## [{section.field}]\n" if section.field else "## Outside of all tables\n")
    if section.model is None:
        blocks.append(meanings(Spec)[section.field] + "\n")
    else:
        if section.field:
            blocks.append(_purpose(section.model) + "\n")
        if keys(section.model):
            blocks.append(_keys(section.model))
        if section.model in _FURTHER:
            blocks.append(_FURTHER[section.model]())
    return [*blocks, f"```toml\n{section.example}```\n"]


def _keys(model: type[Table]) -> str:
    schema = model.model_json_schema()
    means = meanings(model)
    rows = []
    for key in keys(model):
        default = _default(schema["properties"][key]) if key not in schema.get("required", ()) else "required"
        rows.append((f"`{key}`", _type(schema["properties"][key]), default, means.get(key, "")))
    return _table(("key", "type", "default", "meaning"), rows)


def _sampler_arguments() -> str:
    rows = []
    for name in SAMPLERS:
        parameters = inspect.signature(sampler_class(name)).parameters
        rows += _arguments(name, {key: parameters[key] for key in allowed_arguments(parameters)})
    return f"{_OPTUNA}\n\n" + _table(("name", "argument", "type", "default"), rows)


def _pruner_arguments() -> str:
    rows = []
    for name in OPTUNAS:
        rows += _arguments(name, inspect.signature(pruner_class(name)).parameters)
    return f"{_OPTUNA}\n\n" + _table(("name", "argument", "type", "default"), rows)


def _arguments(name: str, parameters: Any) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (f"`{name}`", f"`{key}`", *_argument(key, parameter)) for key, parameter in parameters.items()
    ]
    return rows or [(f"`{name}`", _NONE, _NONE, _NONE)]


def _argument(key: str, parameter: inspect.Parameter) -> tuple[str, str]:
    words = " or ".join(dict.fromkeys(_PLAIN.get(kind, "table") for kind in kinds(parameter)))
    if key in BOUNDS:
        low, high = BOUNDS[key]
        words += f", {low} to {high}"
    return words, _toml(None if parameter.default is inspect.Parameter.empty else parameter.default)


_FURTHER: Final[dict[type[Table], Callable[[], str]]] = {
    SamplerTable: _sampler_arguments,
    ForeignArguments: _pruner_arguments,
}
"""Tables with keys that Optuna's classes name."""


def _models(annotation: Any) -> list[type[Table]]:
    if annotation is RuleArguments:
        return [*registry.RULES, ForeignArguments]
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [annotation]
    return list(dict.fromkeys(model for part in get_args(annotation) for model in _models(part)))


def _kind(model: type[Table]) -> str:
    """Returns the name in the key that tells the kinds apart; of the last kind, which takes all others, its words."""
    constants = [each["const"] for each in model.model_json_schema()["properties"].values() if "const" in each]
    return str(constants[0]) if constants else "module:Class"


def _purpose(model: type[Table]) -> str:
    return "\n\n".join(textwrap.fill(_prose(paragraph), 120) for paragraph in _parts(model)[0].split("\n\n"))


def _prose(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _type(schema: dict[str, Any]) -> str:
    """Returns type and bounds in words."""
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " or ".join(dict.fromkeys(_type(each) for each in options if each.get("type") != "null"))
    if "$ref" in schema:
        return "table"
    if "enum" in schema:
        return " or ".join(_toml(value) for value in schema["enum"])
    if "items" in schema:
        return f"array of {_type(schema['items'])}"
    kind = schema.get("format") or schema.get("type", "anything")
    return ", ".join([_TYPES.get(kind, kind), *_bounds(schema)])


def _bounds(schema: dict[str, Any]) -> Iterable[str]:
    if "exclusiveMinimum" in schema:
        yield f"above {schema['exclusiveMinimum']}"
    if "minimum" in schema:
        yield f"at least {schema['minimum']}"
    if "exclusiveMaximum" in schema:
        yield f"below {schema['exclusiveMaximum']}"
    if schema.get("maximum", LARGEST_INTEGER) != LARGEST_INTEGER:
        yield f"at most {schema['maximum']}"


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    # A default table is that table without any of its keys.
    return _NONE if default in (None, [], {}) or isinstance(default, dict) else _toml(default)


def _toml(value: Any) -> str:
    return _NONE if value is None else f"`{json.dumps(value)}`"


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
