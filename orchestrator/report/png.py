"""The figures as PNG, drawn by matplotlib; plotly's own export needs a browser.

It draws the kinds of traces that the report has; any other kind is an error.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from orchestrator.report.contour_plots import ticks

WIDTH = 1_100
DPI = 110
_SYMBOLS = {
    "x-thin-open": "x",
    "circle-open": "o",
    "diamond": "D",
    "x": "X",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-left": "<",
    "triangle-right": ">",
}
_DASHES = {"dot": ":", "dash": "--", "dashdot": "-."}
_LEGEND_COLUMNS = 6
_HEIGHTS = {"top": "top", "middle": "center", "bottom": "bottom"}
_COLOURS = re.compile(r"rgba?\(([^)]*)\)")


def render(figure: go.Figure, title: str) -> bytes:
    """Returns a figure as PNG, on white.

    Raises:
        TypeError: the figure has another kind of trace.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # No font has every letter that a name may have; those that are missing are boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        draw(figure, title).savefig(buffer, format="png")
    return buffer.getvalue()


def draw(figure: go.Figure, title: str) -> Figure:
    """Returns a figure as one of matplotlib's.

    Raises:
        TypeError: as above.
    """
    layout = figure.layout.to_plotly_json()
    sheet = Figure(figsize=(WIDTH / DPI, max(layout.get("height") or 380, 260) / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(sheet)
    places = _axes(sheet, layout)
    _write(sheet.suptitle(""), title)
    # Each by itself: ``to_dict`` of the whole figure packs the numbers for the browser.
    for trace in (each.to_plotly_json() for each in figure.data):
        _trace(places[trace.get("xaxis") or "x"], trace, layout)
    for name, axes in places.items():
        _finish(axes, layout, name)
    return sheet


def _axes(sheet: Figure, layout: Mapping[str, Any]) -> dict[str, Axes]:
    """Returns a place for each x axis, in rows and columns as they lie in the figure."""
    names = sorted((key for key in layout if re.fullmatch(r"xaxis\d*", key)), key=lambda key: int(key[5:] or 1))
    names = names or ["xaxis"]
    domains = [_domains(layout, name) for name in names]
    lefts = sorted({left for left, _ in domains})
    tops = sorted({top for _, top in domains}, reverse=True)
    return {
        name.replace("axis", ""): sheet.add_subplot(
            len(tops), len(lefts), tops.index(top) * len(lefts) + lefts.index(left) + 1
        )
        for name, (left, top) in zip(names, domains, strict=True)
    }


def _domains(layout: Mapping[str, Any], name: str) -> tuple[float, float]:
    across = (layout.get(name) or {}).get("domain") or (0.0, 1.0)
    up = (layout.get(name.replace("x", "y", 1)) or {}).get("domain") or (0.0, 1.0)
    return round(across[0], 6), round(up[1], 6)


def _trace(axes: Axes, trace: Mapping[str, Any], layout: Mapping[str, Any]) -> None:
    kind = trace["type"]
    if kind == "scatter":
        _scatter(axes, trace)
    elif kind == "bar":
        _bar(axes, trace, stacked=layout.get("barmode") == "stack")
    elif kind in ("contour", "heatmap"):
        _field(axes, trace)
    else:
        raise TypeError(f"a trace of kind '{kind}' cannot be drawn as PNG")


def _scatter(axes: Axes, trace: Mapping[str, Any]) -> None:
    x, y = _column(trace["x"]), _column(trace["y"])
    marker, line, mode = trace.get("marker") or {}, trace.get("line") or {}, trace.get("mode") or "lines"
    name = _named(trace)
    colour = marker.get("color")
    shaded = colour is not None and not isinstance(colour, str)
    if "markers" in mode and shaded:
        bounds = Normalize(marker.get("cmin"), marker.get("cmax"))
        style: dict[str, Any] = {"edgecolors": "#7f7f7f", "linewidths": 0.4}
        if marker.get("symbol") == "circle-open":
            style = {"marker": "$\\circ$"}
        scale = LinearSegmentedColormap.from_list("", [(place, shade) for place, shade in marker["colorscale"]])
        dots = axes.scatter(x, y, c=_column(colour), s=24, cmap=scale, norm=bounds, **style)
        if marker.get("showscale") is not False:
            _bar_of_colours(axes, dots, marker.get("colorbar") or {})
    elif "markers" in mode and "lines" not in mode:
        symbol = _SYMBOLS.get(marker.get("symbol") or "", "o")
        hollow = "open" in (marker.get("symbol") or "") and symbol != "x"
        face: dict[str, Any] = {"facecolors": "none", "edgecolors": colour} if hollow else {"color": colour}
        rim = (marker.get("line") or {}).get("color")
        if rim is not None and not hollow:
            face = {"facecolors": colour, "edgecolors": rim}
        axes.scatter(x, y, s=0.45 * (marker.get("size") or 7) ** 2, marker=symbol, label=name, linewidths=1.0, **face)
    else:
        if trace.get("fill") == "tonexty":
            low = axes.lines[-1].get_ydata()
            axes.fill_between(x, np.asarray(low, dtype=float), y, color="#7f7f7f", alpha=0.3, linewidth=0, label=name)
            name = None
        axes.plot(
            x,
            y,
            color=_colour(line.get("color")),
            linewidth=line.get("width", 1.5),
            linestyle=_DASHES.get(line.get("dash") or "", "-"),
            alpha=trace.get("opacity", 1.0),
            drawstyle="steps-post" if line.get("shape") == "hv" else "default",
            marker="." if "markers" in mode else None,
            label=name,
        )


def _bar_of_colours(axes: Axes, drawn: Any, said: Mapping[str, Any]) -> None:
    made = axes.figure.colorbar(drawn, ax=axes, fraction=0.04, pad=0.02)
    if said.get("ticktext") is not None:
        made.set_ticks(_column(said["tickvals"]), labels=[html.unescape(each) for each in said["ticktext"]])
    title = said.get("title")
    _write(made.ax.yaxis.label, (title.get("text") if isinstance(title, Mapping) else title) or "")


def _bar(axes: Axes, trace: Mapping[str, Any], *, stacked: bool) -> None:
    marker = trace.get("marker") or {}
    hatch = (marker.get("pattern") or {}).get("shape") or None
    style = {"color": _colour(marker.get("color")), "hatch": hatch, "edgecolor": "#ffffff", "linewidth": 0.5}
    texts = trace.get("text") if trace.get("textposition") != "none" else None
    if trace.get("orientation") == "h":
        base = _column(trace["base"]) if trace.get("base") is not None else _stack(axes, trace["y"], stacked)
        bars = axes.barh(list(trace["y"]), _column(trace["x"]), left=base, label=_named(trace), **style)
        if stacked:
            kept: dict[str, float] = axes.__dict__.setdefault("_stacked", {})
            for place, amount in zip(trace["y"], _column(trace["x"]), strict=True):
                kept[place] = kept.get(place, 0.0) + float(amount)
    else:
        width = 0.8 if trace.get("width") is None else _column(trace["width"])
        x = list(trace["x"]) if isinstance(trace["x"][0], str) else _column(trace["x"])
        bars = axes.bar(x, _column(trace["y"]), width, label=_named(trace), **style)
    if texts is not None:
        axes.bar_label(bars, labels=[str(each) for each in texts], padding=3)


def _stack(axes: Axes, places: Any, stacked: bool) -> Any:
    kept: dict[str, float] = axes.__dict__.get("_stacked", {})
    return [kept.get(place, 0.0) for place in places] if stacked else 0.0


def _field(axes: Axes, trace: Mapping[str, Any]) -> None:
    x, z = _column(trace["x"]), np.asarray(trace["z"], dtype=float)
    names = list(trace["y"]) if isinstance(trace["y"][0], str) else []
    y = np.arange(len(names), dtype=float) if names else _column(trace["y"])
    colours = "viridis_r" if trace.get("reversescale") else "viridis"
    if trace["type"] == "contour" and min(z.shape) > 1 and np.nanmin(z) < np.nanmax(z):
        found: Any = axes.contourf(x, y, z, levels=15, cmap=colours)
    else:
        found = axes.pcolormesh(
            x, y, z, shading="nearest", cmap=colours, vmin=trace.get("zmin"), vmax=trace.get("zmax")
        )
    if names:
        axes.set_yticks(y, names)
    _bar_of_colours(axes, found, trace.get("colorbar") or {})


def _finish(axes: Axes, layout: Mapping[str, Any], name: str) -> None:
    across, up = layout.get(f"xaxis{name[1:]}") or {}, layout.get(f"yaxis{name[1:]}") or {}
    for shape in layout.get("shapes") or ():
        if shape["type"] == "rect":
            axes.axvspan(shape["x0"], shape["x1"], color="#7f7f7f", alpha=0.35, linewidth=0)
        else:
            axes.plot([shape["x0"], shape["x1"]], [shape["y0"], shape["y1"]], color="#888888", linewidth=0.8)
    for note in layout.get("annotations") or ():
        where = axes.get_xaxis_transform() if note.get("yref") == "paper" else axes.transData
        height = _HEIGHTS[note.get("yanchor") or "middle"]
        side = note.get("xanchor") or "center"
        _write(axes.text(note["x"], note["y"], "", fontsize=7, ha=side, va=height, transform=where), note["text"])
    for said, axis, scale in ((across, axes.xaxis, axes.set_xscale), (up, axes.yaxis, axes.set_yscale)):
        if said.get("type") == "log":
            scale("log")
            axis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_minor_formatter(NullFormatter())
    for axis, said, write_ticks in ((axes.xaxis, across, axes.set_xticks), (axes.yaxis, up, axes.set_yticks)):
        if said.get("tickvals") is not None and said.get("ticktext") is not None:
            write_ticks(_column(said["tickvals"]), list(said["ticktext"]))
        _write(axis.label, (said.get("title") or {}).get("text") or "")
        if said.get("visible") is False:
            axis.set_visible(False)
    for said, limit in ((across, axes.set_xlim), (up, axes.set_ylim)):
        if said.get("range") is not None:
            limit(*(10.0**end if said.get("type") == "log" else end for end in said["range"]))
    for said, axis in ((across, axes.xaxis), (up, axes.yaxis)):
        if said.get("type") == "log":
            axis.set_ticks(ticks(*np.log10(axis.get_view_interval())))
        elif said.get("rangemode"):
            # It counts; see ``counted``.
            axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        tick.set_parse_math(False)
    _unescape_ticks(axes)
    axes.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    if handles and layout.get("showlegend") is not False and len(labels) > 1:
        # Above the plot, where it hides nothing.
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=_LEGEND_COLUMNS, fontsize=8, frameon=False)


def _unescape_ticks(axes: Axes) -> None:
    """Unescapes the names of categories, which are escaped for plotly."""
    for axis in (axes.xaxis, axes.yaxis):
        ticks, texts = axis.get_ticklocs(), [label.get_text() for label in axis.get_ticklabels()]
        if any("&" in each for each in texts):
            axis.set_ticks(ticks, [html.unescape(each).replace("$", r"\$") for each in texts])


def _write(place: Any, text: str) -> None:
    place.set_parse_math(False)
    place.set_text(html.unescape(re.sub("</?b>", "", re.sub("<br ?/?>", "\n", text))))


def _named(trace: Mapping[str, Any]) -> str | None:
    if trace.get("showlegend") is False or not trace.get("name"):
        return None
    return html.unescape(str(trace["name"]))


def _column(values: Any) -> Any:
    """Returns numbers as floats, missing ones as NaN, and names as they are."""
    values = [values] if isinstance(values, int | float) else list(values)
    if any(isinstance(each, str) for each in values):
        return [str(each) for each in values]
    return np.array([np.nan if each is None else each for each in values], dtype=float)


def _colour(text: Any) -> Any:
    found = _COLOURS.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return text
    parts = [float(each) for each in found[1].split(",")]
    return tuple([part / 255 for part in parts[:3]] + parts[3:])
