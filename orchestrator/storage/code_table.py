"""The table of code bundles: one row for each digest that a study has run."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, insert, select

from orchestrator.common.errors import BadInput
from orchestrator.spec import Spec
from orchestrator.storage.optuna_tables import STUDIES
from orchestrator.storage.own_tables import code
from tasks.code_bundle import BadBundle, CodeMessage, unpack


class KeptCode(NamedTuple):
    """A bundle of a study: its digest, when it was added, in seconds since the epoch, and what is sent of it."""

    digest: str
    added: float
    message: CodeMessage


def carried_code(spec: Spec) -> CodeMessage | None:
    """Returns the bundle that a spec carries, ``None`` where it names none.

    Raises:
        BadInput: the spec names a bundle that it does not carry, or that is broken.
    """
    if spec.code is None or not spec.code.bundle:
        return None
    try:
        archive, author = spec.code.carried()
        unpack(archive, spec.code.bundle)
    except (BadBundle, ValueError) as error:
        problem = f"cannot be stored: {error}" if spec.code.archive else "was not sent with the spec"
        raise BadInput(f"code of study '{spec.name}'", problem, "submit the spec again") from None
    return CodeMessage(archive=archive, author=author)


def write_code(connection: Connection, study_id: int, spec: Spec, at: float) -> None:
    """Stores the bundle that a spec carries, unless it is there; raises as ``carried_code`` does."""
    digest = "" if spec.code is None else spec.code.bundle
    there = select(code.c.id).where(code.c.study_id == study_id, code.c.digest == digest)
    if not digest or connection.scalar(there) is not None:
        return
    if (message := carried_code(spec)) is not None:
        row = {"study_id": study_id, "digest": digest, "archive": message.archive, "author": message.author}
        connection.execute(insert(code).values(row | {"added": at}))


def read_code(connection: Connection, study: str) -> list[KeptCode]:
    """Returns the bundles of a study by its name, the oldest first."""
    query = select(code).join(STUDIES, STUDIES.c.study_id == code.c.study_id).where(STUDIES.c.study_name == study)
    return [
        KeptCode(row.digest, row.added, CodeMessage(archive=row.archive, author=row.author))
        for row in connection.execute(query.order_by(code.c.id))
    ]


def find_code(connection: Connection, study: str, digest: str) -> CodeMessage | None:
    """Returns what is sent of one bundle of a study; ``None`` where the study has no such bundle."""
    query = select(code.c.archive, code.c.author).join(STUDIES, STUDIES.c.study_id == code.c.study_id)
    row = connection.execute(query.where(STUDIES.c.study_name == study, code.c.digest == digest)).one_or_none()
    return None if row is None else CodeMessage(archive=row.archive, author=row.author)
