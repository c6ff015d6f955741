"""What the pages of the documentation hold: blocks, commands, links, headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "docker" / "README.md",
)

SHELLS = ("sh", "bash")
SHELLS_OWN = frozenset({"cd", "do", "done", "eval", "export", "for"})
"""Words that a shell understands by itself."""

_FENCE = re.compile(r"^```(.*)$")
_SEPARATORS = frozenset({";", "&&", "||", "|", "&", "(", ")"})


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        info: The words behind the fence. The first is the language. ``file=NAME`` is what the reader saves it as.
            ``run`` says that ``test_recipes.py`` runs it, in the page's order, in a folder with the pages' files;
            ``run=MODULE`` that this test module does, which brings what the block speaks of. ``needs=THING`` says why
            nothing runs it.
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
        return self._word("file")

    @property
    def runner(self) -> str:
        """The test module that runs it, or nothing."""
        return "test_recipes" if "run" in self.info else self._word("run")

    @property
    def needs(self) -> str:
        return self._word("needs")

    def _word(self, name: str) -> str:
        return next((word.partition("=")[2] for word in self.info if word.startswith(f"{name}=")), "")


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


def all_blocks(runner: str = "") -> list[Block]:
    """Returns the blocks of all pages, or those that a test module runs."""
    return [block for page in PAGES for block in blocks(page) if runner in ("", block.runner)]


def command_lines(block: Block) -> list[str]:
    """Returns the lines that a shell is given: all of a script, and of what a console shows those behind ``$``."""
    text = block.text.replace("\\\n", "")
    if block.language in SHELLS:
        return [line for line in text.splitlines() if line.strip()]
    return re.findall(r"^\$ (.+)$", text, re.MULTILINE) if block.language == "console" else []


def outputs(block: Block) -> dict[str, list[str]]:
    """Returns what a console shows behind each command: the lines that it says the command prints."""
    found: dict[str, list[str]] = {}
    printed: list[str] = []
    for line in block.text.splitlines() if block.language == "console" else ():
        if line.startswith("$ "):
            printed = found.setdefault(line[2:], [])
        else:
            printed.append(line)
    return found


def commands(block: Block) -> list[list[str]]:
    """Returns the simple commands in a block."""
    return [words for line in command_lines(block) for words in simple_commands(line)]


def program(words: list[str]) -> str:
    """Returns what is called, without its folder."""
    return words[0].rpartition("/")[2]


def simple_commands(line: str) -> Iterator[list[str]]:
    """Yields the simple commands of a line, as words without assignments in front and redirections."""
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
