"""The notifications that a control plane allows: its endpoints, the key that signs, and whether commands run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.common.faults import Fault
from orchestrator.common.field_types import check_name
from orchestrator.common.settings import Settings, bad_settings_are_bad_input
from orchestrator.spec import Spec
from orchestrator.spec.notify import NotifyTable, check_webhook
from tasks.metrics_endpoint import read_secret

URLS = "ORCHESTRATOR_NOTIFY_URLS"
KEY = "ORCHESTRATOR_NOTIFY_KEY"
COMMANDS = "ORCHESTRATOR_NOTIFY_COMMANDS"


@dataclass(frozen=True)
class Policy:
    """The notifications that specs may ask for.

    Attributes:
        urls: URLs of the endpoints, by name.
        key: Signs what is posted; empty for no signature.
        commands: Whether commands of specs are run.
        commands_of: Name of the one study whose command is run in any case.
    """

    urls: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: str = field(default="", repr=False)
    commands: bool = False
    commands_of: str = ""

    def check(self, spec: Spec) -> None:
        """Checks that the notifications that the spec asks for are allowed.

        Raises:
            BadInput: one is not; the message says what it needs.
        """
        where = f"study '{spec.name}'"
        if spec.notify.endpoint is not None and spec.notify.endpoint not in self.urls:
            remedy = did_you_mean(spec.notify.endpoint, self.urls) if self.urls else f"name it in {URLS}"
            problem = f"notify.endpoint: this control plane knows no endpoint '{spec.notify.endpoint}'"
            raise BadInput(where, problem, remedy)
        if spec.notify.command and not self.runs(spec.name):
            problem = "notify.command: this control plane runs no commands of specs"
            remedy = f"remove it, or set {COMMANDS}=1 there if everyone who submits specs may run any program"
            raise BadInput(where, problem, remedy)

    def runs(self, study: str) -> bool:
        """Returns whether the command of this study is run."""
        return self.commands or study == self.commands_of != ""

    def url(self, notify: NotifyTable) -> str | None:
        """Returns the URL to post to; ``None`` for an unknown endpoint."""
        return notify.url if notify.endpoint is None else self.urls.get(notify.endpoint)


def policy_of(settings: Settings, commands_of: str = "") -> Policy:
    """Returns the policy of the settings; see ``Policy`` for ``commands_of``.

    Raises:
        BadInput: a setting is wrong, or its file cannot be read.
    """
    with bad_settings_are_bad_input():
        urls = read_secret(URLS, settings.notify_urls, settings.notify_urls_file)
        key = read_secret(KEY, settings.notify_key, settings.notify_key_file)
    try:
        return Policy(_read_urls(urls), key, settings.notify_commands, commands_of)
    except Fault as fault:
        raise fault.blame(URLS) from None


def _read_urls(text: str) -> dict[str, str]:
    """Reads ``name=url`` pairs with blanks or line ends between them; a line that begins with # is left out.

    Raises:
        Fault: a word is no such pair. The message shows no URL.
    """
    found: dict[str, str] = {}
    for word in re.sub(r"(?m)^\s*#.*$", "", text).split():
        name, mark, url = word.partition("=")
        if not mark or "://" in name:
            remedy = "write team=https://host/path, with blanks between several"
            raise Fault("holds a word that is not name=url", remedy)
        check_name(name)
        if name in found:
            raise Fault(f"names '{name}' twice", "remove one of them")
        try:
            found[name] = check_webhook(url)
        except Fault as fault:
            raise Fault(f"'{name}' {fault.problem}", fault.remedy) from None
    return found
