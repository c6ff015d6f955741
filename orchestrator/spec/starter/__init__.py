"""A first search: a spec and an objective that run as they are, to be replaced piece by piece."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import Fault
from orchestrator.common.field_types import check_name

SPEC: Final = "search.toml"
OBJECTIVE: Final = "train.py"
_HERE: Final = Path(__file__).parent
_COMMENTS_AT: Final = 34
_NAME: Final = re.compile(r'^name = "starter" *(?=#)', re.MULTILINE)


def write(folder: Path) -> list[Path]:
    """Writes both files into a folder, which is made where it is missing; returns their paths, the spec first.

    The study is called as the folder is, where that can be a name.

    Raises:
        BadInput: one of them is there already, and nothing was written; or the folder takes no files.
    """
    paths = [folder / SPEC, folder / OBJECTIVE]
    for path in paths:
        if path.exists() or path.is_symlink():
            raise BadInput(str(path), "is there already, and stays as it is", "choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            with path.open("x") as file:
                file.write(_NAME.sub(_name_line(folder), (_HERE / path.name).read_text()))
    except FileExistsError:
        raise BadInput(str(folder), "is no folder", "choose another name") from None
    except OSError as error:
        raise BadInput(str(folder), f"takes no files: {error.strerror}", "choose another folder") from None
    return paths


def _name_line(folder: Path) -> str:
    name = folder.resolve().name
    try:
        check_name(name)
    except Fault:
        name = "starter"
    return f'name = "{name}"'.ljust(_COMMENTS_AT - 1) + " "
