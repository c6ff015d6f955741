"""The [code] table: what of the user's own code is sent to workers, and what these must have installed."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BeforeValidator, Field, Strict

from orchestrator.common.faults import Fault, show
from orchestrator.common.field_types import check_text, entries
from orchestrator.common.table import Table
from tasks.code_bundle import bundle_reference, is_digest

MOST_ENTRIES = 1_000
LONGEST_ENTRY = 1_024


def _check_patterns(value: Any) -> Any:
    if isinstance(value, str):
        raise Fault("is a string", f"write an array, as in [{show(value)}]")
    return value


def _check_path(text: str) -> str:
    check_text(text)
    if not text.strip() or len(text) > LONGEST_ENTRY:
        raise Fault(f"cannot be {show(text)}", f"name a file or a folder, in at most {LONGEST_ENTRY} characters")
    return text


def _check_requirement(text: str) -> str:
    check_text(text)
    try:
        required = Requirement(text)
    except InvalidRequirement:
        raise Fault(f"is no requirement: {show(text)}", "write it as in requirements.txt, such as 'numpy>=2'") from None
    if required.url is not None:
        problem = f"names an address, {show(text)}, and workers install nothing"
        raise Fault(problem, "name the package and its version, such as 'numpy>=2'")
    return text


def _check_digest(text: str) -> str:
    if text and not is_digest(text):
        raise Fault(f"is no digest: {show(text)}")
    return text


Paths = Annotated[
    tuple[Annotated[str, AfterValidator(_check_path)], ...],
    Strict(False),
    entries(MOST_ENTRIES),
    BeforeValidator(_check_patterns),
]
Requirements = Annotated[
    tuple[Annotated[str, AfterValidator(_check_requirement)], ...],
    Strict(False),
    entries(MOST_ENTRIES),
    BeforeValidator(_check_patterns),
]


class CodeTable(Table):
    """Code of your own that is sent to workers, so that a fleet needs no shared folder.

    What `.gitignore` files leave out stays behind, and so do caches, environments and the data folder. A worker runs it
    where its owner admits that: see [code.md](code.md).

    Attributes:
        include: Files and folders that the objective or the program needs: its package, files of data. They lie on
            workers as they do here, and packages among them can be imported by an objective. ``*`` and ``**`` may stand
            in a name.
        exclude: What of these stays behind, written as in a `.gitignore`.
        root: The folder in which they lie; that of the spec where it is not set.
        requirements: What a worker must have installed, written as in requirements.txt; ``python`` is the interpreter.
            A worker that has something else says so, and trains no trial of the study.

    Example:
        [code]
        include = ["src/mypkg", "data/*.csv"]
        exclude = ["*.ckpt"]
        root = "."
        requirements = ["python>=3.11", "numpy>=2"]
    """

    internal = frozenset({"bundle", "archive", "author"})

    include: Paths = ()
    exclude: Paths = ()
    root: Annotated[str, AfterValidator(_check_path)] = "."
    requirements: Requirements = ()
    # The digest of the bundle; and, until the study is stored, its archive and its author's signature in base 64.
    bundle: Annotated[str, AfterValidator(_check_digest)] = ""
    archive: str = Field(default="", repr=False)
    author: str = Field(default="", repr=False)

    def reference(self, objective: str) -> str:
        """Returns the objective as a job names it."""
        return bundle_reference(self.bundle, objective) if self.bundle else objective

    def carrying(self, digest: str, archive: bytes, author: bytes) -> CodeTable:
        """Returns the table with a bundle, which travels with the spec until the study is stored."""
        texts = (base64.b64encode(each).decode() for each in (archive, author))
        return self.model_copy(update=dict(zip(("bundle", "archive", "author"), (digest, *texts), strict=True)))

    def carried(self) -> tuple[bytes, bytes]:
        """Returns the archive and its author's signature; both empty where the table has none.

        Raises:
            ValueError: they are no base 64.
        """
        archive, author = (base64.b64decode(text, validate=True) for text in (self.archive, self.author))
        return archive, author
