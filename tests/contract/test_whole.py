"""A whole study read in one transaction is what the store reads, by Optuna's own code."""

from __future__ import annotations

from books import Books, everything

from orchestrator.storage.look import open_history


def test_it_is_what_the_store_reads(books: Books) -> None:
    books.create(max_steps=27, pruner={"name": "median"})
    books.commit(everything())
    loaded = books.load()
    with open_history(books.url) as history:
        found = history.whole("study")
    for ours, theirs in zip(found.snapshot.trials, loaded.trials, strict=True):
        for name in ("number", "state", "values", "datetime_start", "datetime_complete", "params", "distributions"):
            assert repr(getattr(ours, name)) == repr(getattr(theirs, name)), (ours.number, name)
        for name in ("user_attrs", "system_attrs", "intermediate_values"):
            assert repr(sorted(getattr(ours, name).items())) == repr(sorted(getattr(theirs, name).items()))
    for name in ("spec", "uid", "seed", "state", "reason", "attempts", "checkpoints", "study_system_attrs"):
        assert getattr(found.snapshot, name) == getattr(loaded, name), name
    assert repr(found.snapshot.closest) == repr(loaded.closest)
    assert [(row.trial, row.action) for row in found.decisions] == [(1, "prune"), (3, "shadow")]
    assert found.redone == 2
