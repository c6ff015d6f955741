"""``python -m tasks.worker``: the worker, on a platform that can run it."""

from __future__ import annotations

import sys

from tasks.platform_support import refusal


def main() -> int:
    """Runs the worker; refuses a platform before it imports modules that cannot be imported there."""
    if problem := refusal():
        print(f"worker: {problem}", file=sys.stderr)
        return 2
    from tasks.worker.main import main as run

    return run()


if __name__ == "__main__":
    code = main()
    from tasks.process_guards import end_process

    end_process(code)
