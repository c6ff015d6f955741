"""Whatever lies in the task list, no worker dies of it, and the item is kept aside."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

from tests.faults.cluster import Cluster


def message(**changes: Any) -> bytes:
    """What Celery sends for a task, with some of it changed; None takes a part out."""
    whole: dict[str, Any] = {
        "body": base64.b64encode(json.dumps([[{}], {}, {}]).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "train", "id": "unknown", "lang": "py", "argsrepr": "", "kwargsrepr": ""},
        "properties": {
            "delivery_tag": "tag",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "trials"},
            "body_encoding": "base64",
            "priority": 0,
        },
    }
    whole |= changes
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


ITEMS = {
    "empty": b"",
    "not JSON": b"{",
    "bad UTF-8": b"\xff\xfe\x00",
    "null": b"null",
    "a number": b"17",
    "a list": b"[1, 2]",
    "no headers": message(headers=None),
    "headers that are none": message(headers=[1]),
    "no properties": message(properties=None),
    "empty properties": message(properties={}),
    "another task": message(headers={"task": "other", "id": "unknown"}),
    "an id that is none": message(headers={"task": "train", "id": {"a": 1}}),
    "a body that is not base64": message(body="\x00\x01"),
    "a body that is not JSON": message(body=base64.b64encode(b"{").decode()),
    "a body that is no list": message(body=base64.b64encode(b"17").decode()),
    "no argument": message(body=base64.b64encode(b"[[], {}, {}]").decode()),
    "an argument that is no job": message(body=base64.b64encode(b'[[{"study": 1}], {}, {}]').decode()),
    "a pickle": message(**{"content-type": "application/x-python-serialize"}),
    "an unknown encoding": message(**{"content-encoding": "none-such"}),
    "deep nesting": b"[" * 100_000,
    "ten megabytes": message(body="A" * 10_000_000),
}


def test_malformed_items_in_the_task_list_end_no_worker(cluster: Cluster) -> None:
    search = cluster.submit("poison")
    search.underway()
    workers = [cluster.stack.running[name] for name in ("worker-a", "worker-b")]
    with contextlib.closing(cluster.redis.client()) as client:
        for item in ITEMS.values():
            client.rpush("trials", item)
        search.balance()
        search.until(lambda: not client.exists("trials"))
        search.until(lambda: client.xlen("orchestrator:dead") == len(ITEMS))
        kept = [fields[b"data"] for _, fields in client.xrange("orchestrator:dead")]
    assert sorted(kept) == sorted(item[:65_536] for item in ITEMS.values())
    assert [worker.poll() for worker in workers] == [None, None]
    assert [cluster.stack.running[name] for name in ("worker-a", "worker-b")] == workers
