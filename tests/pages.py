"""What the pages of the documentation hold: blocks, commands, links, headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(.*)$")
_SEPARATORS = frozenset({";", "&&", "||", "|", "&", "(", ")"})


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        info: The words behind the fence. The first is the language; ``file=NAME`` is what the reader saves it as, and
            ``run`` says that the integration tests run it, in the page's order, in a folder with its files.
    """

    page: Path
    line: int
    info: tuple[str, ...]
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def language(self) -> str:
        return self.info[0] if self.info else ""

    @property
    def file(self) -> str:
        return next((word.removeprefix("file=") for word in self.info if word.startswith("file=")), "")

    @property
    def runs(self) -> bool:
        return "run" in self.info


def blocks(page: Path) -> list[Block]:
    """Returns the fenced blocks of a page in their order."""
    found = []
    opened: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None:
            lines.append(line)
        elif opened is None:
            opened, lines = (number, fence[1]), []
        else:
            found.append(Block(page, opened[0], tuple(opened[1].split()), "\n".join(lines) + "\n"))
            opened = None
    assert opened is None, f"{page}: the block of line {opened} has no end"
    return found


def prose(page: Path) -> str:
    """Returns the page without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def commands(block: Block, ours: frozenset[str]) -> list[list[str]]:
    """Returns the simple commands in a block, as words without assignments in front and redirections.

    In one that says it is for a shell, every line holds some. In others output may stand as well: there it is the lines
    behind ``$``, and those that call a program of ours.
    """
    found = []
    for line in re.sub(r"\\\n", " ", block.text).splitlines():
        if block.language == "sh":
            found += list(_simple(line))
        elif block.language in ("", "console") and line.strip():
            try:
                simple = list(_simple(line.removeprefix("$ ")))
            except ValueError:
                assert not line.startswith("$ "), f"{block.where}: no shell reads {line}"
                continue
            found += simple if line.startswith("$ ") else [words for words in simple if program(words) in ours]
    return found


def program(words: list[str]) -> str:
    """Returns what is called, without its folder."""
    return words[0].rpartition("/")[2]


def _simple(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    target = False
    for word in [*lexer, ";"]:
        if word in _SEPARATORS:
            if words:
                yield words
            words, target = [], False
        elif target:
            target = False
        elif word in (">", ">>", "<"):
            target = True
        elif words or not re.match(r"\w+=", word):
            words.append(word)


def inline_code(page: Path) -> list[str]:
    """Returns what stands between backticks in the prose of a page."""
    return [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose(page))]


def links(page: Path) -> list[tuple[Path, str]]:
    """Returns where a page's links within the repository lead: the file, and the anchor in it or nothing."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    targets = [each for each in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", each)]
    pairs = [target.partition("#")[::2] for target in targets]
    return [((page.parent / path).resolve() if path else page, anchor) for path, anchor in pairs]


def anchors(page: Path) -> set[str]:
    """Returns the anchors that a page's headings have where it is shown."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        names.add(f"{slug}-{found[slug]}" if slug in found else slug)
        found[slug] = found.get(slug, 0) + 1
    return names
