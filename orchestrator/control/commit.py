"""Writing a round to the database: all of it at once, and again until the database takes it."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.changes import Changes
from orchestrator.engine.outputs import Batch
from orchestrator.ports import Books, Clock, NoteState, Notifier, Progress, untold
from tasks.unavailable import Outage, unavailable

AWAY_SECONDS = 0.2
"""Pause before a server that is away is tried again."""


class Committer:
    """Commits rounds, for as long as this process is the writer.

    Args:
        store: The database, with the right to write.
        notifier: Whose settled notes are recorded with the round.
        outage: Says when the database is not available, and when it is again.
        clock: Time.
        heartbeat: Seconds between two transactions, at the most: so a writer finds out that it is none any more.
        progress: Called while the database is waited for.
    """

    def __init__(
        self,
        store: Books,
        notifier: Notifier,
        outage: Outage,
        clock: Clock,
        heartbeat: float,
        progress: Progress = untold,
    ) -> None:
        self._store = store
        self._notifier = notifier
        self._outage = outage
        self._clock = clock
        self._heartbeat = heartbeat
        self._progress = progress
        # Kept until they are committed, as nobody would say them again.
        self._settled: dict[str, NoteState] = {}
        self._check_at = 0.0

    def commit(
        self, batches: Mapping[str, Batch], answers: Mapping[int, str]
    ) -> tuple[float | None, dict[str, NoteState]]:
        """Writes what there is to write, or looks whether this is still the writer where that is due.

        Returns:
            The seconds that it took, ``None`` where there was nothing to do; and the notes that were settled, by id.

        Raises:
            ForeignWrite: somebody else has written to a study; nothing of the round is written.
        """
        changes = {name: batch.changes for name, batch in batches.items()}
        self._settled |= self._notifier.take_settled()
        if any(changes.values()) or answers or self._settled or self._clock.monotonic() >= self._check_at:
            seconds = self._write(changes, answers)
        else:
            seconds = None
        settled, self._settled = self._settled, {}
        return seconds, settled

    def _write(self, changes: Mapping[str, Changes], answers: Mapping[int, str]) -> float:
        while True:
            begun = self._clock.monotonic()
            try:
                self._store.commit(changes, answers, self._settled)
                break
            except Exception as error:
                found = unavailable(error)
                if found is None or found.server != "database":
                    raise
                self._outage.begin(found)
                self._progress()
                self._clock.sleep(AWAY_SECONDS)
        self._outage.end()
        done = self._clock.monotonic()
        self._check_at = done + self._heartbeat
        return done - begun
