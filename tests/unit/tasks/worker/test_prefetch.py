"""A process of the pool is sent a second task only while its first one is about to end."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tasks.worker.prefetch import ProcessLoads

PROCESS = 9


class OneProcess(RuleBasedStateMachine):
    """A process and its messages, which come in the order in which it sends them.

    It is sent what the loads allow, as Celery does; ``tasks`` are those that it has, ``ending`` says whether it expects
    the next one. What was sent before a message of the process is read is on its way, as in a pipe.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loads = ProcessLoads()
        self.tasks = 0
        self.expects = False
        self.declines = False

    @precondition(lambda self: PROCESS not in self.loads)
    @rule()
    def is_sent(self) -> None:
        self.loads.add(PROCESS)
        self.tasks += 1

    @precondition(lambda self: self.tasks and not self.expects and not self.declines)
    @rule()
    def expect(self) -> None:
        self.expects = True
        self.loads.expect(PROCESS)

    @precondition(lambda self: self.expects)
    @rule()
    def decline(self) -> None:
        self.expects, self.declines = False, True
        self.loads.decline(PROCESS)

    @precondition(lambda self: self.declines and self.tasks == 2)
    @rule()
    def give_back(self) -> None:
        self.tasks -= 1
        self.loads.give_back(PROCESS)

    @precondition(lambda self: self.tasks)
    @rule()
    def end_task(self) -> None:
        self.tasks -= 1
        self.expects = self.declines = False
        self.loads.discard(PROCESS)

    @rule()
    def die(self) -> None:
        self.tasks = 0
        self.expects = self.declines = False
        self.loads.forget(PROCESS)

    @rule()
    def lose_broker(self) -> None:
        """Celery forgets what no process has begun; it is begun all the same."""
        self.loads.intersection_update(set())

    @invariant()
    def it_may_be_sent_what_it_can_take(self) -> None:
        most = 2 if self.expects else 1
        assert self.tasks <= 2
        assert (PROCESS in self.loads) == (self.tasks >= most)
        assert len(self.loads) == (PROCESS in self.loads)
        assert (PROCESS in self.loads.loaded) == bool(self.tasks)


TestOneProcess = OneProcess.TestCase
TestOneProcess.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
