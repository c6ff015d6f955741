"""The table of states in ``docs/lifecycle.md``, made from the module that every view takes its words from."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.model.state_words import OF_ATTEMPTS, OF_STUDIES, OF_TRIALS, StateWord


def rows(words: Iterable[StateWord]) -> list[str]:
    return [f"| {each.word} | {each.data} | {each.stored} | {each.means} |" for each in words]


def tables() -> dict[str, str]:
    """Returns each table by its heading."""
    head = ["| state | for programs | in the database | means |", "|---|---|---|---|"]
    of = {"of a study": OF_STUDIES, "of a trial": OF_TRIALS, "of an attempt": OF_ATTEMPTS}
    return {heading: "\n".join([*head, *rows(words)]) for heading, words in of.items()}


if __name__ == "__main__":
    for heading, table in tables().items():
        print(f"\n**States {heading}**\n\n{table}")
