"""The code of a keeper's jobs: what they require is there, and their code bundle is admitted and unpacked."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import redis

from tasks.code_bundle import split_reference
from tasks.contract import CodeWanted, Failed, Outcome, Released
from tasks.installed_packages import missing_requirements
from tasks.keeper.code_store import CodeMissing, CodeRefused, CodeStore
from tasks.keeper.job_run import JobRun
from tasks.keeper.publisher import Publisher
from tasks.keeper.slot import Slot
from tasks.signing import Keyring
from tasks.trainer_messages import Preloaded

log = logging.getLogger(__name__)


class JobCode:
    """Finds the import folders of a job, or why it is not trained here.

    Args:
        slot: The slot.
        client: Redis.
        publisher: Asks the control plane for a bundle.
        keyring: Verifies bundles.
    """

    def __init__(self, slot: Slot, client: redis.Redis, publisher: Publisher, keyring: Keyring) -> None:
        self._slot = slot
        self._publisher = publisher
        self._store = CodeStore(slot.data / "code", client, slot.allowlist, keyring)

    def of(self, job_run: JobRun, leaves: Callable[[], bool]) -> tuple[str, ...] | Outcome:
        """Returns the import folders of the job's code bundle, none where it has none; or the job's outcome.

        Args:
            job_run: The job.
            leaves: Whether the keeper hands its trial back, which ends the wait for a bundle.
        """
        job = job_run.job
        if why := self._slot.allowlist.refuse(job.objective):
            return Failed(cause="import", error="NotAdmitted", message=why)
        if missing := missing_requirements(job.requirements):
            message = f"{socket.gethostname()} lacks what the study requires: {missing}"
            return Failed(cause="import", error="RequirementsMissing", message=message)

        def ask() -> None:
            if (bundled := split_reference(job.objective)) is not None:
                self._publisher.publish_now(job_run.runner, CodeWanted(digest=bundled[0]))

        try:
            return self._store.folders(job.objective, ask, lambda: job_run.refusal(leaves()) is not None)
        except CodeRefused as error:
            return Failed(cause="import", error="NotAdmitted", message=str(error))
        except CodeMissing as error:
            log.warning("trial %d is handed back: %s", job.trial, error, extra={"action": "code_missing"})
            return job_run.refusal(leaves()) or Released()

    def of_preload(self, on_preload: Callable[[Preloaded], None]) -> tuple[str, tuple[str, ...]]:
        """Returns the objective that trainers import at their start, and the import folders of its bundle.

        Args:
            on_preload: Called where it cannot be imported.
        """
        preload = self._slot.preload
        try:
            return preload, self._store.folders(preload)
        except (CodeRefused, CodeMissing) as error:
            on_preload(Preloaded(objective=preload, error=str(error)))
        return "", ()

    def close(self) -> None:
        """Lets other keepers delete the bundles that this one has used."""
        self._store.close()
