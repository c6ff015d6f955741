"""Writes the files of a report, each of them atomically."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.common.atomic_write import replacing
from orchestrator.common.errors import BadInput, reason_of
from orchestrator.common.extras import install, is_installed
from orchestrator.report.facts import Facts

PAGE = "report.html"
_NAMED = re.compile(r"[a-z]+(-[0-9]+)?\.png")


@dataclass(frozen=True)
class Written:
    """The files of a report; ``missing`` says why there are no PNG files."""

    html: Path
    png: Sequence[Path]
    missing: str = ""


def write(facts: Facts, folder: Path, advance: Callable[[int], None]) -> Written:
    """Writes the report. Files of an earlier report are replaced or deleted.

    Raises:
        BadInput: the folder takes no files.
    """
    from orchestrator.report import all_plots, page

    drawn = all_plots.draw(facts, advance)
    missing = ""
    images: dict[str, bytes] = {}
    if not is_installed("matplotlib"):
        missing = f"no PNG files: matplotlib is not installed; {install('matplotlib')}"
    else:
        from orchestrator.report import png

        for plot in drawn:
            for name, figure in zip(plot.names(), plot.figures, strict=True):
                images[f"{name}.png"] = png.render(figure, plot.title)
            advance(1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pictures = folder / "png"
        pictures.mkdir(exist_ok=True)
        html = _put(folder / PAGE, page.render(facts, drawn).encode("utf-8", "replace"))
        written = [_put(pictures / name, content) for name, content in images.items()]
        for old in pictures.iterdir():
            if old.name not in images and _NAMED.fullmatch(old.name):
                old.unlink()
        if not images:
            pictures.rmdir()
    except OSError as error:
        raise BadInput(str(folder), f"takes no files: {reason_of(error)}", "choose another folder with -o") from None
    return Written(html, written, missing)


def _put(path: Path, content: bytes) -> Path:
    with replacing(path) as file:
        file.write(content)
    return path.resolve()
