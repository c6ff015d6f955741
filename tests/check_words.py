"""``python -m tests.check_words``: fails where a file of the project has a word that leaves the subject unnamed.

A sentence names the thing that acts: a worker, a command, another process. Part of ``make lint``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Put together here, so that this file has none of them.
WORDS = re.compile("|".join(("who" + "ever", "no" + "body", "some" + "body", "any" + "body")), re.IGNORECASE)


def found(root: Path = ROOT) -> list[str]:
    """Returns ``file:line: word`` for each of ``WORDS`` in the files under version control below ``root``."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    result = []
    for name in filter(None, listed.split("\0")):
        path = root / name
        if not path.is_file():
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        result += [f"{name}:{at}: {word}" for at, line in enumerate(lines, 1) for word in WORDS.findall(line)]
    return result


def main() -> int:
    """Prints what was found; returns the exit code."""
    places = found()
    for place in places:
        print(place)
    if places:
        print(f"{len(places)} words that name no subject: say which process, command or person acts", file=sys.stderr)
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
