"""The table [notify]: notifications when a search has ended, or has found a better trial."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, Strict, model_validator

from orchestrator.common.faults import Fault
from orchestrator.common.field_types import Name, check_text
from orchestrator.common.table import Table

URL_LENGTH = 2_048
COMMAND_WORDS = 100
WORD_LENGTH = 8_192

_REMEDY = "write https://host/path"

Event = Literal["finished", "failed", "best"]


def check_webhook(url: str) -> str:
    """Returns a URL that takes a POST. No message shows more of it than its host.

    Raises:
        Fault: it is not such a URL.
    """
    if len(url) > URL_LENGTH:
        raise Fault(f"has {len(url)} characters, more than {URL_LENGTH}", _REMEDY)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise Fault("contains blanks, or characters that a URL cannot have", "percent-encode them")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Fault("is not a URL", _REMEDY) from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise Fault("is not a URL of http or https", _REMEDY)
    if "@" in parts.netloc:
        remedy = "such a URL cannot be posted to; secrets of a webhook are in its path"
        raise Fault("holds a user or a password", remedy)
    return url


def redact_webhook(url: str) -> str:
    """Returns the URL up to its host; what follows may be a secret."""
    found = re.match(r"[a-z]+://[^/?#]*", url)
    head = found[0] if found else ""
    return url if url[len(head) :] in ("", "/") else head + "/***"


def _check_events(events: tuple[Event, ...]) -> tuple[Event, ...]:
    if not events:
        raise Fault("is empty", "take it out, or name finished, failed or best")
    if len(set(events)) != len(events):
        raise Fault("names an event twice", "once is enough")
    return events


def _check_command(words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) > COMMAND_WORDS or any(len(word) > WORD_LENGTH for word in words):
        raise Fault(f"has more than {COMMAND_WORDS} words, or a very long one", "put it into a script")
    for index, word in enumerate(words):
        check_text(word, (index,))
    if words and not words[0].strip():
        raise Fault("begins with an empty word", 'name a program first, as in ["sh", "-c", "…"]')
    return words


def _check_no_url(name: Any) -> Any:
    if isinstance(name, str) and "://" in name:
        raise Fault("is a URL", "that is what 'url' is for; an endpoint is a name in ORCHESTRATOR_NOTIFY_URLS")
    return name


class NotifyTable(Table):
    """Notifications that a search sends.

    Attributes:
        url: Takes a POST with a small JSON object at each event of ``on``. It is stored in the database with the study,
            readable to all who can read that, and no command shows it.
        endpoint: The name of a URL in ``ORCHESTRATOR_NOTIFY_URLS``, in place of a URL that is itself a secret.
        on: ``"finished"``: the search has ended, or was stopped; ``"failed"``; ``"best"``: a trial is better than all
            before.
        command: The control plane runs it when the search has ended in any way; no shell interprets its words.

    Example:
        [notify]
        url = "https://example.org/hooks/digits"
        on = ["finished", "failed", "best"]
    """

    url: Annotated[str, AfterValidator(check_webhook)] | None = Field(default=None, repr=False)
    endpoint: Annotated[Name, BeforeValidator(_check_no_url)] | None = None
    on: Annotated[tuple[Event, ...], Strict(False), AfterValidator(_check_events)] = ("finished", "failed")
    command: Annotated[tuple[str, ...], Strict(False), AfterValidator(_check_command)] = ()

    @model_validator(mode="before")
    @classmethod
    def _check_command_form(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("command"), str):
            raise Fault("is a string", 'write its words as an array, as in ["sh", "-c", "…"]', ("command",))
        return data

    @model_validator(mode="after")
    def _check_together(self) -> NotifyTable:
        if self.url is not None and self.endpoint is not None:
            raise Fault("stands beside 'url'", "give one of them", ("endpoint",))
        if "on" in self.model_fields_set and not self.posts and self.on != NotifyTable.model_fields["on"].default:
            raise Fault("names events, and there is no URL to post them to", "give 'url' or 'endpoint'", ("on",))
        return self

    @property
    def posts(self) -> bool:
        """Whether events are posted to a URL."""
        return self.url is not None or self.endpoint is not None

    def shown(self) -> str:
        """Returns the endpoint, or the URL with secrets masked, to show to any user."""
        return self.endpoint or ("" if self.url is None else redact_webhook(self.url))
