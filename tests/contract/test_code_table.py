"""The code of a study in the database: kept by its digest, beside the spec that names it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from leased_store import NOW, LeasedStore, carrying, make_spec, optuna_storage
from sqlalchemy import select

from orchestrator.common.errors import BadInput
from orchestrator.queries.readonly import open_study_reader
from orchestrator.spec import Spec
from orchestrator.storage import own_tables
from orchestrator.storage.command_table import CommandTable
from tasks.code_bundle import unpack


def changed(spec: Spec, **code: Any) -> Spec:
    assert spec.code is not None
    return spec.model_copy(update={"code": spec.code.model_copy(update=code)})


def digest_of(spec: Spec) -> str:
    assert spec.code is not None
    return spec.code.bundle


def test_each_digest_is_kept_once_and_the_spec_holds_no_archive(leased: LeasedStore) -> None:
    first, second = carrying(make_spec(), b"1"), carrying(make_spec(), b"2")
    for spec in (first, first, second, changed(first, archive="")):
        snapshot = leased.store.create(spec, NOW)
        assert snapshot.spec.objective == "train:objective"
    with leased.database.read() as connection:
        stored = connection.scalars(select(own_tables.studies.c.spec)).one()
    assert "archive" not in json.loads(stored)["code"]
    assert json.loads(stored)["code"]["bundle"] == digest_of(first)
    for spec, text in ((first, b"1"), (second, b"2")):
        message = leased.store.code("study", digest_of(spec))
        assert message is not None
        assert unpack(message.archive, digest_of(spec)).files[0].data == text
    assert leased.store.code("study", "0" * 64) is None
    assert leased.store.code("another", digest_of(first)) is None
    with open_study_reader(leased.url) as reader:
        assert [each.digest for each in reader.code("study")] == [digest_of(first), digest_of(second)]


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ({"archive": ""}, "was not sent with the spec; submit the spec again"),
        ({"archive": "AAAA"}, "cannot be stored: the archive is broken"),
        ({"archive": "no base 64"}, "cannot be stored: "),
        ({"bundle": "0" * 64}, "cannot be stored: the archive has the digest"),
    ],
)
def test_what_is_not_its_code_is_refused_and_leaves_the_study_as_it_was(
    leased: LeasedStore, code: dict[str, Any], problem: str
) -> None:
    leased.store.create(make_spec(objective="train:objective"), NOW)
    with pytest.raises(BadInput) as caught:
        leased.store.create(changed(carrying(make_spec()), **code), NOW)
    assert str(caught.value).startswith("code of study 'study': ")
    assert problem in str(caught.value)
    assert leased.store.load("study").spec.code is None
    with pytest.raises(BadInput, match=problem):
        leased.store.create(changed(carrying(make_spec(name="new")), **code), NOW)
    with optuna_storage(leased.url) as storage:
        assert [each.study_name for each in storage.get_all_studies()] == ["study"]


def test_the_command_that_brought_it_keeps_no_second_copy(leased: LeasedStore) -> None:
    table = CommandTable(leased.database)
    long = carrying(make_spec(), random.Random(1).randbytes(1 << 20))
    table.issue("long", "me", "submit", "study", long.to_json())
    table.issue("short", "me", "enqueue", "study", {"params": {"x": 1}})
    commands = leased.store.pending_commands()
    leased.store.commit({}, {command.id: "{}" for command in commands})
    with leased.database.read() as connection:
        kept = connection.scalars(select(own_tables.commands.c.payload).order_by(own_tables.commands.c.id)).all()
    assert kept == ["{}", '{"params": {"x": 1}}']
