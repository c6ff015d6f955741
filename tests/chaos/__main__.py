"""``python -m tests.chaos``: soaks, shows progress on stderr, prints the account. Exit code 1 unless it balances."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos.soak import Plan, SoakResult, Stuck, soak

MOST_SHOWN = 10


def main() -> int:
    options = _parse()
    plan = Plan(options.seconds, options.trials, options.epochs, options.epoch_seconds, options.pause, options.seed)
    folder = Path(tempfile.mkdtemp(prefix="soak-")) if options.folder is None else options.folder
    folder.mkdir(parents=True, exist_ok=True)
    # The servers may have to give up being root, and then have to find their files.
    folder.chmod(0o755)
    try:
        result = soak(plan, folder.resolve(), lambda line: print(line, file=sys.stderr, flush=True))
    except Stuck as error:
        print(f"stuck: {error}", file=sys.stderr)
        return 1
    print(render(result), file=sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps(as_json(result)))
    return 0 if result.account.balanced else 1


def render(result: SoakResult) -> str:
    """Returns the account as text."""
    account = result.account
    ended = ", ".join(f"{count} {state}" for state, count in sorted(account.ended.items()))
    epochs = f"{account.reported} reported, {account.recorded} recorded, {account.redone} trained again"
    lines = [
        f"trials     {account.asked} asked, {sum(account.ended.values())} ended: {ended}",
        f"epochs     {epochs}, {len(account.lost)} lost, {len(account.duplicated)} duplicated",
        f"attempts   {account.attempts}",
    ]
    lines += [f"           {count:5} {cause}" for cause, count in account.causes.most_common()]
    everything = [seconds for each in result.recoveries.values() for seconds in each]
    lines.append(f"faults     {len(everything)} in {result.seconds:.0f} s         recovery: median      max")
    rows = sorted(result.recoveries.items()) + ([("all of them", everything)] if everything else [])
    for name, seconds in rows:
        lines.append(f"           {len(seconds):5} {name:26} {statistics.median(seconds):6.2f} s {max(seconds):6.2f} s")
    for title, found in (("lost", account.lost), ("duplicated", account.duplicated), ("wrong", account.wrong)):
        lines += [f"{title}: {each}" for each in found[:MOST_SHOWN]]
        lines += [f"{title}: {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
    lines.append("the account balances" if account.balanced else "THE ACCOUNT DOES NOT BALANCE")
    return "\n".join(lines)


def as_json(result: SoakResult) -> dict[str, Any]:
    """Returns the account as plain data; recovery times are seconds."""
    account = result.account
    return {
        "balanced": account.balanced,
        "trials": {"asked": account.asked, **account.ended},
        "epochs": {
            "reported": account.reported,
            "recorded": account.recorded,
            "trained_again": account.redone,
            "lost": len(account.lost),
            "duplicated": len(account.duplicated),
        },
        "attempts": account.attempts,
        "wrong": account.wrong,
        "recovery_s": {name: _summary(seconds) for name, seconds in result.recoveries.items()},
    }


def _summary(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "count": len(seconds),
        "p50": round(statistics.median(seconds), 3),
        "max": round(max(seconds), 3),
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long faults strike [300]")
    parser.add_argument("--trials", type=int, default=400, help="trials of the search [400]")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of a full trial [40]")
    parser.add_argument("--epoch-seconds", type=float, default=0.1, help="seconds of an epoch [0.1]")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two faults, on average [1]")
    parser.add_argument("--seed", type=int, default=0, help="of the search and of the faults [0]")
    parser.add_argument("--folder", type=Path, help="where everything is kept [a new temporary folder]")
    parser.add_argument("--json", action="store_true", help="print the account as one JSON object on stdout")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
