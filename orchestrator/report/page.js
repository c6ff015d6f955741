"use strict";
// Draws what the page carries, in the colours of the reader's choice; on paper in light ones and as wide as a sheet.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 600px)");
  const SHEET = 680;
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  // On a narrow page the buttons would cover the legend; fingers do what they do.
  const NARROW = { ...CONFIG, displayModeBar: false };
  const plots = [...document.querySelectorAll("script[data-plot]")].map((held) => ({
    place: document.getElementById(held.dataset.plot),
    ...JSON.parse(held.textContent),
  }));

  function theme(isDark) {
    const text = isDark ? "#e4e8ec" : "#1b1f24";
    const lines = isDark ? "#3a424c" : "#d5d9de";
    const axis = { gridcolor: lines, zerolinecolor: lines, linecolor: lines, automargin: true };
    return {
      layout: {
        font: { color: text, family: "system-ui, sans-serif", size: 13 },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        xaxis: axis,
        yaxis: axis,
        // What is written at an axis can be read where lines cross it.
        annotationdefaults: { bgcolor: isDark ? "rgba(21,25,30,0.75)" : "rgba(255,255,255,0.75)", borderpad: 0 },
        hoverlabel: { bgcolor: isDark ? "#1f252c" : "#ffffff", font: { color: text } },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: isDark ? "#a9b1ba" : "#50575f" },
      },
    };
  }

  function draw(plot, isDark, width) {
    const layout = { ...structuredClone(plot.layout), template: theme(isDark), autosize: !width };
    if (width) layout.width = width;
    else if (narrow.matches) {
      // Room for the plot itself; automargin gives back what the ticks need.
      layout.template.layout.font.size = 11;
      layout.margin = { ...layout.margin, l: Math.min(layout.margin.l, 44), r: Math.min(layout.margin.r, 12) };
    }
    return Plotly.react(plot.place, plot.data, layout, narrow.matches ? NARROW : CONFIG);
  }

  function drawAll(isDark, width) {
    for (const plot of plots) draw(plot, isDark, width);
  }

  // One at a time, so that a long page can be read and scrolled meanwhile.
  let next = 0;
  async function drawNext() {
    if (next >= plots.length) {
      document.documentElement.dataset.drawn = plots.length;
      return;
    }
    await draw(plots[next++], dark.matches);
    setTimeout(drawNext, 0);
  }
  dark.addEventListener("change", () => drawAll(dark.matches));
  narrow.addEventListener("change", () => drawAll(dark.matches));
  const folded = () => document.querySelectorAll("details:not([open])");
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = [...folded()];
    for (const each of unfolded) each.open = true;
    drawAll(false, SHEET);
  });
  addEventListener("afterprint", () => {
    for (const each of unfolded) each.open = false;
    drawAll(dark.matches);
  });
  drawNext();
})();

// The table of all trials: sorted by any column, a page of it at a time; on paper as much as is bearable.
(() => {
  const held = document.getElementById("trials-data");
  if (!held) return;
  const PAGE = 25;
  const PRINTED = 1000;
  const { columns, rows } = JSON.parse(held.textContent);
  const table = document.getElementById("trials");
  const pages = document.getElementById("pages");
  let by = 0;
  let turned = false;
  let first = 0;
  let printing = false;

  // Four digits, as in the other tables.
  function words(value) {
    if (value === null) return "–";
    if (typeof value !== "number" || Number.isInteger(value)) return String(value);
    const size = Math.abs(value);
    if (size >= 1e-4 && size < 1e6) return String(Number(value.toPrecision(4)));
    const [digits, power] = value.toExponential(3).split("e");
    return `${Number(digits)}e${power}`;
  }

  // Numbers before texts, and what is missing at the end, whichever way the others are sorted.
  function compare(one, other) {
    const [a, b] = [one[by], other[by]];
    if (a === null || b === null) return (a === null) - (b === null);
    const sign = turned ? -1 : 1;
    if (typeof a !== typeof b) return sign * (typeof a === "number" ? -1 : 1);
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
  }

  function element(tag, text, parent) {
    const made = document.createElement(tag);
    made.textContent = text;
    parent.append(made);
    return made;
  }

  function show() {
    const sorted = [...rows].sort((one, other) => compare(one, other) || one[0] - other[0]);
    const body = document.createElement("tbody");
    const begin = printing ? 0 : first;
    const last = Math.min(begin + (printing ? PRINTED : PAGE), rows.length);
    for (const row of sorted.slice(begin, last)) {
      const line = body.insertRow();
      for (const value of row) element("td", words(value), line);
    }
    table.tBodies[0].replaceWith(body);
    [...table.tHead.rows[0].cells].forEach((cell, place) => {
      if (place === by) cell.setAttribute("aria-sort", turned ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    status.textContent = `${begin + 1} to ${last} of ${rows.length}`;
    previous.disabled = first === 0;
    next.disabled = last === rows.length;
  }

  function turn(text, step) {
    const button = element("button", text, pages);
    button.type = "button";
    button.hidden = rows.length <= PAGE;
    button.addEventListener("click", () => {
      first += step;
      show();
    });
    return button;
  }

  const previous = turn("Previous", -PAGE);
  const next = turn("Next", PAGE);
  const status = element("span", "", pages);
  status.setAttribute("role", "status");
  const heading = table.tHead.insertRow();
  columns.forEach((name, place) => {
    const cell = element("th", "", heading);
    cell.scope = "col";
    const button = element("button", name, cell);
    button.type = "button";
    button.addEventListener("click", () => {
      turned = place === by && !turned;
      by = place;
      first = 0;
      show();
    });
  });
  for (const isPrinting of [true, false]) {
    addEventListener(isPrinting ? "beforeprint" : "afterprint", () => {
      printing = isPrinting;
      show();
    });
  }
  show();
})();
