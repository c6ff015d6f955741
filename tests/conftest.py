"""What holds for all tests: the caller's environment changes none, and the last line says what was skipped and why."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import settings

KEPT = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE", "VIRTUAL_ENV", "TERM")
KEPT_FAMILIES = ("LC_", "LD_", "TEST_", "PYTEST_", "HYPOTHESIS_", "CUDA_", "NVIDIA_")
"""What tests and their processes see of the caller's environment; of the rest, much would change what they do."""

for name in list(os.environ):
    if name not in KEPT and not name.startswith(KEPT_FAMILIES):
        del os.environ[name]

# A shell that started the tests in the background, or nohup, has them ignored, and so would everything that they start.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

# How long an example takes on a busy machine says nothing of it. A profile of the command line wins; `make test-all`
# names the one with all examples.
settings.register_profile("everyday", deadline=None, max_examples=50)
settings.register_profile("ci", settings.get_profile("ci"), max_examples=50)
settings.register_profile("thorough", deadline=None)
settings.load_profile("everyday")

LATE = {"matplotlib", "scipy", "torch"}
"""Libraries that each process would otherwise import to collect all tests, for seconds; few tests need them."""

# An optimizer of torch imports triton where it can, for a second and for nothing here; with Python 3.13 its library
# names what it has left behind at the end of each process.
sys.modules["triton"] = None  # type: ignore[assignment]

PASSED_OVER = pytest.StashKey[set[str]]()


@pytest.fixture
def shell() -> Generator[None, None, None]:
    """A command runs: what messages advise are commands."""
    from orchestrator.common.advice import for_the_shell

    with for_the_shell():
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reversed", action="store_true", help="run the tests from the last to the first")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--reversed"):
        items.reverse()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays to the end: going through it again and again, the garbage collector would
    take half of the time of a collection of all tests, and more at each of its full rounds later."""
    gc.disable()
    try:
        collected = yield
    finally:
        gc.freeze()
        gc.enable()
    if early := sorted(LATE & sys.modules.keys()):
        raise pytest.UsageError(f"imported to collect tests: {', '.join(early)}; name it there with tests.later.Later")
    return collected


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was captured, and a failure, may hold a text that is no Unicode: it cannot be sent to the process that
    prints it."""
    report = yield
    sent = [text.encode(errors="backslashreplace").decode() for section in report.sections for text in section]
    report.sections = list(zip(sent[::2], sent[1::2], strict=True))
    if report.failed:
        report.longrepr = str(report.longrepr).encode(errors="backslashreplace").decode()
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    # Importing it takes longer than a small test; a run that did not, has started no server.
    servers = sys.modules.get("tests.shared_servers")
    passed_over: list[str] = [] if servers is None else servers.passed_over
    if servers is not None:
        servers.close()
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["passed_over"] = passed_over
    yield
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workeroutput"):
        for line in sorted(config.stash.setdefault(PASSED_OVER, set()).union(passed_over)):
            terminal.write_line(f"a server of the tests' own was used: {line}")
        # Skipped steps of a test stand among what pytest does not count, unless it is told to show each step.
        reports = [*terminal.stats.get("skipped", []), *terminal.stats.get("", [])]
        terminal.write_line(skips([report.longrepr for report in reports if report.skipped]))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    found = getattr(node, "workeroutput", {}).get("passed_over", [])
    node.config.stash.setdefault(PASSED_OVER, set()).update(found)  # type: ignore[attr-defined]


def skips(places: list[tuple[str, int, str]]) -> str:
    """Returns the line that counts by reason what was skipped; pytest says for each where it was skipped and why."""
    reasons = Counter(re.sub(r"^(Skipped|[\w.]*NotInstalled): ", "", reason) for _, _, reason in places)
    counted = ", ".join(f"{count} ({reason})" for reason, count in reasons.most_common())
    return f"skipped: {counted or 'nothing'}"
