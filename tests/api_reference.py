"""The page docs/api.md, made of the docstrings of the public names of ``orchestrator``.

``python -m tests.api_reference > docs/api.md`` writes it anew; a test holds the page to the code.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any, Final

import orchestrator

COMMAND: Final = "python -m tests.api_reference > docs/api.md"
_HEAD: Final = f"""\
# The Python interface

<!-- Made by `{COMMAND}` from the docstrings of orchestrator/api: change it there. -->

Every public class and function of `orchestrator`; [python.md](python.md) shows them at work. Importing the package
imports neither Optuna nor Celery nor torch. The package is typed: `mypy --strict` knows every argument.
"""
SHOWN: Final = (
    *("Search", "connect", "Fleet", "StudyHandle", "StudyStatus", "Events", "AddedTrial", "Answer"),
    *("OrchestratorError", "BadInput", "ServerTrouble", "StudyFailed"),
)
"""Names in the order of the page: those that ``orchestrator`` exports, and what their methods return."""

_RETURNED: Final = {
    "StudyStatus": "orchestrator.api.status",
    "Events": "orchestrator.api.events",
    "AddedTrial": "orchestrator.api.study_handle",
    "Answer": "orchestrator.api.shown",
}
_LONGEST: Final = 200
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Example|Yields):\n((?:    .*\n|\n)*)", re.MULTILINE)
_ITEM = re.compile(r"^    (\S[^:]*): (.*(?:\n     +.*)*)", re.MULTILINE)


def reference() -> str:
    """Returns the page."""
    parts = [_HEAD]
    for name in SHOWN:
        value = public(name)
        parts.append(f"## `{name}`\n")
        if inspect.isclass(value):
            if not issubclass(value, Exception) and name == "Search":
                parts.append(f"{_call(name, value)}\n")
            parts += _described(value)
            if not issubclass(value, Exception):
                for member_name, member in members(value):
                    parts.append(f"### {_heading(name, member_name, member)}\n")
                    parts += _described(member)
        else:
            parts.append(f"{_call(name, value)}\n")
            parts += _described(value)
    return "\n".join(parts).rstrip() + "\n"


def public(name: str) -> Any:
    """Returns what the page calls by this name."""
    if place := _RETURNED.get(name):
        return getattr(__import__(place, fromlist=[name]), name)
    return getattr(orchestrator, name)


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """Yields the public methods and properties of a class, in their order."""
    own = [each for each in cls.__mro__ if each.__module__.startswith("orchestrator.api")]
    for name, value in ((name, value) for each in own for name, value in vars(each).items()):
        if name.startswith("_") or name in _INNER.get(cls.__name__, ()):
            continue
        if isinstance(value, property):
            yield name, value
        elif isinstance(value, classmethod | staticmethod):
            yield name, getattr(cls, name)
        elif inspect.isfunction(value):
            yield name, value


_INNER: Final = {
    "Fleet": ("reader", "commands", "open_study", "check_open"),
    "StudyHandle": ("resume_by",),
    "StudyStatus": ("of",),
    "Answer": ("of_text",),
}
"""Public for this program's own modules alone."""


def _heading(owner: str, name: str, member: Any) -> str:
    return f"`{owner}.{name}`" if isinstance(member, property) else _call(f"{owner}.{name}", member)


def _call(name: str, function: Any) -> str:
    signature = inspect.signature(function)
    shown = [
        each.replace(annotation=inspect.Parameter.empty)
        for key, each in signature.parameters.items()
        if key not in ("self", "unknown")
    ]
    text = str(signature.replace(parameters=shown, return_annotation=inspect.Signature.empty))
    if len(text) > _LONGEST:
        # The table below it names each.
        text = f"{text[: text.index(',', 40)]}, …)"
    returned = "" if inspect.isclass(function) else _type(signature.return_annotation)
    return f"`{name}{text}{returned}`"


def _type(annotation: Any) -> str:
    if annotation in (inspect.Signature.empty, None, "None"):
        return ""
    return f" -> {annotation if isinstance(annotation, str) else annotation.__name__}"


def _described(value: Any) -> list[str]:
    text = (inspect.getdoc(value) or "") + "\n"
    blocks = [f"{_prose(_SECTION.sub('', text))}\n"]
    for name, body in _SECTION.findall(text):
        if name == "Example":
            blocks.append(f"```python run=test_python_page\n{textwrap.dedent(body).strip()}\n```\n")
        elif name in ("Args", "Attributes"):
            rows = [f"| `{key}` | {_line(words)} |" for key, words in _ITEM.findall(body)]
            blocks.append("\n".join(["| name | meaning |", "|---|---|", *rows]) + "\n")
        elif name == "Raises":
            rows = [f"- `{key}`: {_line(words)}" for key, words in _ITEM.findall(body)]
            blocks.append("Raises:\n\n" + "\n".join(rows) + "\n")
        else:
            blocks.append(f"{name}: {_line(textwrap.dedent(body))}\n")
    return blocks


def _prose(text: str) -> str:
    paragraphs = [_line(each) for each in text.strip().split("\n\n") if each.strip()]
    return "\n\n".join(textwrap.fill(each, 120, break_long_words=False) for each in paragraphs)


def _line(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


if __name__ == "__main__":
    print(reference(), end="")
