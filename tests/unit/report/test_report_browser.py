"""The page in a real browser: what a reader sees on a narrow screen and on a wide one, and what a click does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from made_facts import SPACE, attempt, facts, ordinary, trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from orchestrator.report import page
from orchestrator.report.all_plots import draw
from orchestrator.report.facts import Facts
from tests.browser import Browser

# What a reader sees of a plot has to lie within its plot, and on the page.
OUTSIDE = """
[...document.querySelectorAll('.plot')].flatMap(plot => {
  const box = plot.getBoundingClientRect();
  const kinds = '.legend .legendtext, .xtick text, .ytick text, .g-xtitle, .g-ytitle, .annotation-text';
  const seen = plot.querySelectorAll(kinds);
  return [...seen].filter(each => {
    const own = each.getBoundingClientRect();
    return own.width && (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1
      || own.bottom > box.bottom + 1);
  }).map(each => `${plot.id}: ${each.textContent}`);
})
"""
OVERLAPPING = """
[...document.querySelectorAll('.plot')].flatMap(plot => [...plot.querySelectorAll('.legend')].flatMap(legend => {
  const plots = [...plot.querySelectorAll('.xy .plot')].map(each => each.getBoundingClientRect());
  const own = legend.getBoundingClientRect();
  return plots.filter(each => own.bottom > each.bottom - 40).map(() => plot.id);
}))
"""


LONG = "a parameter with a name that is far too long for an axis "
NIGHT = 8 * 3600.0


def odd() -> Facts:
    """Outliers, long names, many choices, a night without work."""
    names = [LONG + str(number) for number in range(6)]
    space: dict[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in names}
    space["layers"] = CategoricalDistribution([f"a choice with a long name {number}" for number in range(9)])
    trials = [
        trial(
            number,
            values=[1e6 if number == 7 else number % 13],
            curve=[1e5 / (step + 1) + number for step in range(9)],
            params={name: (number * 37 % 101 + place * number) % 101 / 101 for place, name in enumerate(names)}
            | {"layers": f"a choice with a long name {number % 9}"},
            space=space,
        )
        for number in range(60)
    ]
    starts = [number * 10 + (NIGHT if number > 30 else 0) for number in range(60)]
    return facts(
        trials, [attempt(number, start, start + 9, "a-host-with-a-name/0") for number, start in enumerate(starts)]
    )


def long() -> Facts:
    """Forty parameters, foreign names and choices of 200 characters, values of both signs over decades."""
    texts = ["x" * 200, "שלום " * 40, "\U0001f469\u200d\U0001f52c" * 40, "<script>alert(1)</script>" * 8]
    space: dict[str, BaseDistribution] = {f"{texts[n % 4]} {n}": FloatDistribution(0.0, 1.0) for n in range(38)}
    space |= {"choice": CategoricalDistribution(texts), "same": FloatDistribution(1.0, 1.0)}
    trials = [
        trial(
            number,
            values=[(-1) ** number * 10.0 ** (number % 9 - 4)],
            curve=[(-1) ** number * 10.0 ** (step - 4) for step in range(9)],
            params={
                name: texts[number % 4] if name == "choice" else 1.0 if name == "same" else number * 37 % 101 / 101
                for name in space
            },
            space=space,
        )
        for number in range(12)
    ]
    return facts(trials)


def several() -> Facts:
    space = {name: SPACE[name] for name in ("lr", "x")}
    trials = [
        trial(n, values=[n / 8, n * 3 % 8 / 8, 1e9 if n == 2 else -n], params={"lr": 0.1, "x": n / 9}, space=space)
        for n in range(9)
    ]
    return facts(trials, directions=["maximize", "minimize", "minimize"], max_steps=None)


PAGES = {
    "ordinary": lambda: ordinary(30),
    "odd": odd,
    "several": several,
    "long": long,
    "one": lambda: facts([trial(0, curve=[0.1])]),
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as it:
        yield it


@cache
def rendered(name: str) -> str:
    found = PAGES[name]()
    return page.render(found, draw(found, lambda _: None))


def opened(browser: Browser, folder: Path, name: str, width: int, *, dark: bool) -> None:
    file = folder / "report.html"
    file.write_text(rendered(name))
    browser.look(width, dark=dark)
    browser.open(file.as_uri())
    browser.until("document.documentElement.dataset.drawn !== undefined")


@pytest.mark.parametrize(("width", "dark"), [(390, True), (1600, False)])
@pytest.mark.parametrize("name", PAGES)
def test_legends_and_ticks_fit_on_a_narrow_page_and_on_a_wide_one(
    browser: Browser, tmp_path: Path, name: str, width: int, dark: bool
) -> None:
    opened(browser, tmp_path, name, width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.evaluate(OUTSIDE) == []
    assert browser.evaluate(OVERLAPPING) == []
    columns = browser.evaluate(
        "getComputedStyle(document.querySelector('.several') ?? document.body).gridTemplateColumns"
    )
    if columns != "none":
        assert (len(columns.split()) > 1) is (width == 1600)
    assert browser.complaints == []


def test_on_paper_everything_is_unfolded_and_dark(browser: Browser, tmp_path: Path) -> None:
    opened(browser, tmp_path, "ordinary", 1600, dark=True)
    rows = "document.querySelectorAll('#trials tbody tr').length"
    ink = "[...document.querySelectorAll('.xtick text')].map(each => each.style.fill)"
    assert (browser.evaluate(rows), set(browser.evaluate(ink))) == (25, {"rgb(228, 232, 236)"})
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")
    browser.until(f"{ink}.every(each => each === 'rgb(27, 31, 36)')")
    assert browser.evaluate(rows) == 33
    assert browser.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    browser.evaluate("dispatchEvent(new Event('afterprint'))")
    assert browser.evaluate(rows) == 25


def test_the_table_of_trials_is_sorted_by_a_click_and_turned_page_by_page(browser: Browser, tmp_path: Path) -> None:
    column = "[...document.querySelectorAll('#trials tbody tr')].map(row => row.cells[{}].textContent)"
    opened(browser, tmp_path, "ordinary", 1600, dark=False)
    headings = browser.evaluate("[...document.querySelectorAll('#trials th')].map(th => th.textContent)")
    assert headings == ["trial", "state", "value", "epochs", "seconds", "cause", "lr", "x", "kind"]
    assert browser.evaluate(column.format(0)) == list(map(str, range(25)))
    browser.evaluate("document.querySelectorAll('#pages button')[1].click()")
    assert browser.evaluate(column.format(0)) == list(map(str, range(25, 33)))
    assert browser.evaluate("document.querySelector('#pages span').textContent") == "26 to 33 of 33"
    for order in ("ascending", "descending"):
        browser.evaluate("document.querySelectorAll('#trials th button')[6].click()")
        values = list(map(float, browser.evaluate(column.format(6))))
        assert values == sorted(values, reverse=order == "descending")
        assert browser.evaluate("[...document.querySelectorAll('[aria-sort]')].map(th => th.ariaSort)") == [order]
    browser.evaluate("document.querySelectorAll('#trials th button')[2].click()")
    browser.evaluate("document.querySelectorAll('#pages button')[1].click()")
    assert browser.evaluate(column.format(2))[-2:] == ["–", "–"], "what has no value comes last"
    assert browser.complaints == []
