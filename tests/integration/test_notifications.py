"""People are told what becomes of a search: by a fleet that is killed in between, and by a `run` on one machine."""

from __future__ import annotations

import json
from pathlib import Path

from fleet import Fleet, Servers, follow_to_end, real_servers_only, wait_for

from orchestrator.notify.webhook import SIGNATURE, sign
from tests.webhook_server import ReceivedPost, webhook_server

SPEC = """
name = "{name}"
objective = "objectives:steady"
direction = "maximize"
trials = 4
max_steps = 6
seed = 3
[args]
seconds = 0.0
[notify]
{notify}
"""


def genuine(posted: ReceivedPost, key: str) -> bool:
    at = int(posted.headers[SIGNATURE].partition(",")[0].removeprefix("t="))
    return sign(key, posted.body, at) == posted.headers[SIGNATURE]


def notes(fleet: Fleet, study: str) -> list[tuple[str, str]]:
    found = json.loads(fleet.call("status", study, "--json").stdout)["notes"]
    return [(note["event"], note["state"]) for note in found]


@real_servers_only
def test_a_notification_is_delivered_although_control_planes_are_killed(
    running: Fleet, servers: Servers, tmp_path: Path
) -> None:
    with webhook_server([503, 503]) as it:
        secrets = tmp_path / "webhooks"
        secrets.write_text(f"team={it.url}\n")
        environment = running.environment() | {
            "ORCHESTRATOR_NOTIFY_URLS_FILE": str(secrets),
            "ORCHESTRATOR_NOTIFY_KEY": "the key",
        }
        first = running.start("serve", environment=environment)
        running.start("worker", "--slots", "1", environment=environment)
        running.submit(running.write_spec(SPEC.format(name="s", notify='endpoint = "team"')))
        follow_to_end(servers.client(), "s")
        it.wait(1)
        # The webhook has refused it, or is about to.
        first.kill()
        running.start("serve", environment=environment)
        posts = it.wait(3)
        wait_for(lambda: notes(running, "s") == [("finished", "delivered")], "it is known to be delivered")

        assert [post.status for post in posts] == [503, 503, 204]
        assert len({(post.body, post.headers["X-Orchestrator-Delivery"]) for post in posts}) == 1
        assert all(genuine(post, "the key") for post in posts)
        told = json.loads(posts[-1].body)
        trials = servers.study("s").trials
        best = servers.study("s").best_trial
        assert told["best"] == {"number": best.number, "value": best.value, "params": best.params}
        assert told["trials"] == {"complete": 4, "pruned": 0, "failed": 0}
        assert told["epochs"] == sum(len(trial.intermediate_values) for trial in trials)

        # What this control plane would not do is refused when it is asked for.
        for notify, words in (
            ('endpoint = "teem"', "notify.endpoint: this control plane knows no endpoint 'teem'; did you mean 'team'?"),
            ('command = ["true"]', "notify.command: this control plane runs no commands of specs"),
        ):
            refused = running.call("submit", str(running.write_spec(SPEC.format(name="other", notify=notify))))
            assert refused.returncode == 2
            assert f"study 'other': {words}" in refused.stderr
            assert len(refused.stderr.splitlines()) == 1
        assert "hush" not in running.logs()


def test_a_run_tells_of_its_end_before_it_leaves(alone: Fleet) -> None:
    with webhook_server([404]) as it:
        notify = (
            f'url = "{it.url}"\ncommand = ["sh", "-c", "echo $ORCHESTRATOR_STUDY $ORCHESTRATOR_EVENT; cat > told.json"]'
        )
        ran = alone.call("run", str(alone.write_spec(SPEC.format(name="s", notify=notify))), "--json", "--slots", "1")
        assert ran.returncode == 0, ran.stderr
        (post,) = it.posted
    told = json.loads((alone.folder / "told.json").read_text())
    body = json.loads(post.body)
    assert {**told, "id": body["id"]} == body
    assert told["best"] == json.loads(ran.stdout.splitlines()[-1])["best"]
    assert ran.stderr.splitlines()[-1] == "notification 'finished' (post) failed after 1 attempt: HTTP 404"
    serve = (alone.folder / "data" / "logs" / "serve.log").read_text()
    assert r"study s: command 'sh' ended with exit code 0:\ns finished" in serve
    assert "hush" not in serve + ran.stderr
