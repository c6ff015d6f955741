"""The page: one file that fetches nothing and, by its own policy, could not."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from plotly.offline import get_plotlyjs

from orchestrator.report import sections
from orchestrator.report.facts import Facts
from orchestrator.report.plot import Plot

_FIRST = ("best", "history", "front")
"""What a reader looks for first; the other plots follow in their own order."""


class _Section(NamedTuple):
    id: str
    title: str
    body: str


def render(facts: Facts, plots: Sequence[Plot]) -> str:
    """Returns the page."""
    scripts = (get_plotlyjs(), _resource("page.js"))
    # Named by digest: a script that got in by any other way does not run.
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
    title = f"{sections.text(facts.summary.study, 120)} – search report"
    parts = _sections(facts, plots)
    contents = "".join(f"<li><a href='#{each.id}'>{each.title}</a></li>" for each in parts)
    body = "".join(
        f"<section id='{each.id}' aria-labelledby='{each.id}-title'><h2 id='{each.id}-title'>{each.title}</h2>"
        f"{each.body}</section>"
        for each in parts
    )
    return (
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv=Content-Security-Policy content="{policy}">'
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        "<meta name=color-scheme content='light dark'><link rel=icon href='data:,'>"
        f"<title>{title}</title><style>{_resource('page.css')}</style></head><body>"
        "<a class=skip href='#main'>Skip to the report</a>"
        f"<header><h1>{sections.text(facts.summary.study, 120)}</h1>{sections.verdict(facts)}</header>"
        f"<nav aria-labelledby=contents><h2 id=contents>Contents</h2><ol>{contents}</ol></nav>"
        f"<main id=main tabindex=-1>{body}</main>"
        "<noscript><p>The plots need JavaScript; the same ones lie beside this file as PNG.</p></noscript>"
        + "".join(f"<script>{script}</script>" for script in scripts)
        + "</body></html>\n"
    )


def _sections(facts: Facts, plots: Sequence[Plot]) -> list[_Section]:
    drawn = {plot.id: _Section(plot.id, plot.title, _plot(plot)) for plot in plots}
    drawn["best"] = _Section("best", "Best trials", sections.best(facts))
    failures = drawn["failures"]
    drawn["failures"] = failures._replace(body=failures.body + sections.failed(facts))
    order = [each for each in _FIRST if each in drawn] + [each for each in drawn if each not in _FIRST]
    return [
        *(drawn[each] for each in order),
        _Section("figures", "Figures", sections.figures(facts)),
        _Section("spec", "Spec", sections.spec(facts)),
        _Section("origin", "Origin and versions", sections.origin(facts)),
    ]


def _plot(plot: Plot) -> str:
    if plot.absent:
        return f"<p class=absent>{sections.text(plot.absent)}</p>"
    says = sections.text(plot.says, 2_000)
    made = [f"<p>{says}</p>"]
    for name, figure in zip(plot.names(), plot.figures, strict=True):
        held = json.loads(figure.to_json())
        held["layout"].pop("template", None)
        height = int(held["layout"].get("height") or 380)
        # Nothing in it may look like the end of the element, whatever it is that a parameter is called.
        data = json.dumps(held, separators=(",", ":")).translate(_HARMLESS)
        alt = sections.text(f"{plot.title}: {plot.says}", 400)
        made.append(
            f"<figure><div class=plot id='plot-{name}' role=img aria-label='{alt}' style='height:{height}px'></div>"
            f"<script type=application/json data-plot='plot-{name}'>{data}</script></figure>"
        )
    return "".join(made)


_HARMLESS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _resource(name: str) -> str:
    return resources.files("orchestrator.report").joinpath(name).read_text(encoding="utf-8")
