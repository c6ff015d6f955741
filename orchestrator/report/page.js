"use strict";
// Draws what the page carries, in the colours of the reader's choice; on paper in light ones and as wide as a sheet.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const SHEET = 680;
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
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
        hoverlabel: { bgcolor: isDark ? "#1f252c" : "#ffffff", font: { color: text } },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: isDark ? "#a9b1ba" : "#50575f" },
      },
    };
  }

  function draw(plot, isDark, width) {
    const layout = { ...structuredClone(plot.layout), template: theme(isDark), autosize: !width };
    if (width) layout.width = width;
    return Plotly.react(plot.place, plot.data, layout, CONFIG);
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
  addEventListener("beforeprint", () => drawAll(false, SHEET));
  addEventListener("afterprint", () => drawAll(dark.matches));
  drawNext();
})();
