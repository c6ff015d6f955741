"""The pages: whatever can be run in them is run by a test, or says what it needs; what is shown is what there is.

Commands of ours are run by ``tests/integration/test_page_commands.py``, blocks that are marked with ``run`` as a whole
by the test that they name. Here all of them are read: commands parse, specs are specs, links lead somewhere.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from orchestrator.cli import cli
from orchestrator.common.settings import PREFIX, Settings
from orchestrator.spec.model import validate
from orchestrator.spec.objective_check import check_objective
from orchestrator.spec.pruner_factory import check_pruner
from orchestrator.spec.sampler_factory import check_sampler
from tasks.worker import options
from tests.pages import (
    PAGES,
    ROOT,
    SHELLS,
    SHELLS_OWN,
    Block,
    all_blocks,
    anchors,
    blocks,
    command_lines,
    commands,
    inline_code,
    links,
    program,
    simple_commands,
)

OTHERS = SHELLS_OWN | {
    *("pre-commit", "pytest", "python3", "scp", "sh", "source"),
    *("apt-get", "cat", "chmod", "cp", "createdb", "curl", "docker", "jq", "mkdir", "openssl", "pg_dump", "pg_restore"),
    *("printf", "psql", "redis-cli", "redis-server", "sqlite3", "sudo", "unzip"),
}
"""Programs of others that the pages call; a name that is neither here nor ours is misspelt, or new."""

LANGUAGES = frozenset({"", "console", "dockerfile", "ini", "json", "mermaid", "python", "toml", "yaml", *SHELLS})
NEEDS = {
    "clone": "sets up a clone, or runs these tests and measurements themselves",
    "docker": "an engine, which tests do not have; tests/unit/deployment holds it to the files that it names",
    "download": "images or weights that only the network has; tests/integration/test_images.py runs it on others",
    "root": "changes the machine",
}
"""Why a block is not run; there are no other reasons."""
LONGEST_LINE = 120
FRAGMENT = {"name": "fragment", "objective": "m:f", "trials": 10, "max_steps": 27}
"""What a block that shows a part of a spec leaves out."""

BLOCKS = all_blocks()


def named(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", found, ids=[block.where for block in found])


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_a_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES
    known = {"run", f"run={block.runner}", f"file={block.file}", f"needs={block.needs}"}
    assert set(block.info[1:]) <= known, block.info
    assert not block.needs or block.needs in NEEDS
    assert not (block.needs and block.runner)


@named(of("python", "console", *SHELLS))
def test_whatever_can_be_run_is_run_or_says_what_it_needs(block: Block) -> None:
    if block.runner or block.needs or block.file:
        return
    assert block.language != "python", "say `run`, `run=MODULE` or `needs=THING` behind the fence"
    for line in command_lines(block):
        first, *others = [program(words) for words in simple_commands(line)]
        # What a command of ours hands on is run with it.
        assert first == "orchestrator" or first in SHELLS_OWN, f"{line}: say who runs it, or `needs=THING`"
        assert "|" in line or set(others) <= {"orchestrator"} | SHELLS_OWN, line


@named([block for block in BLOCKS if block.runner])
def test_who_is_said_to_run_a_block_is_there_and_looks_for_it(block: Block) -> None:
    (module,) = (ROOT / "tests").rglob(f"{block.runner}.py")
    assert re.search(r"\b(all_)?blocks\(|make_secrets", module.read_text())


@named([block for block in BLOCKS if block.file])
def test_a_file_is_used(block: Block) -> None:
    used = {word for each in BLOCKS if not each.needs for words in commands(each) for word in words}
    specs = {each.file for each in BLOCKS if each.file in used and each.language == "toml"}
    found = [tomllib.loads(each.text) for each in BLOCKS if each.file in specs]
    modules = {each["objective"].partition(":")[0] for each in found if "objective" in each}
    words = {word for each in found for word in each.get("command", {}).get("run", ())}
    words |= {word for each in found for word in each.get("code", {}).get("include", ())}
    assert block.file in specs | words or block.file.removesuffix(".py") in modules


@named([block for block in BLOCKS if commands(block)])
def test_a_command_is_one(block: Block) -> None:
    for words in commands(block):
        check(words)


@named([block for block in of("") if block.page.name != "architecture.md"])
def test_a_command_stands_in_a_block_that_says_so(block: Block) -> None:
    assert not re.search(r"^(\$ |orchestrator |make \w+$)", block.text, re.MULTILINE), "it is of `sh`, or a `console`"


def check(words: list[str]) -> None:
    match program(words):
        case "orchestrator":
            parse(cli, "orchestrator", words[1:])
        case "make":
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
            assert set(words[1:]) <= set(targets), words
        case "python":
            assert words[1] != "-m" or importlib.util.find_spec(words[2]) is not None, words
        case "pip":
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert set(re.findall(r"\[(\w+)\]", " ".join(words))) <= set(extras), words
        case name:
            ours = any("/" in word and (ROOT / word).is_file() for word in words)
            assert ours or name in OTHERS, f"'{name}' in {words}: misspelt, or a program that OTHERS lacks"


def parse(command: click.Command, name: str, arguments: list[str], parent: click.Context | None = None) -> None:
    """Parses a command line as it would be, and runs nothing."""
    if isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        # A command keeps the help option that it is first asked for: it must be the one of real use.
        context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
        name, found, rest = command.resolve_command(context, arguments)
        assert name is not None
        assert found is not None
        parse(found, name, rest, context)
    elif name == "worker":
        options.parse(arguments)
    else:
        # Asked for its help, a command prints it and ends.
        with contextlib.suppress(click.exceptions.Exit):
            command.make_context(name, arguments, parent=parent).close()


WRONG = (
    "orchestrator runn x.toml",
    "orchestrator run",
    "orchestrator run x.toml --slot 2",
    "orchestrator worker --gpuz 1",
    "make tests",
    "python -m tests.chaso",
    "pip install -e '.[reports]'",
    "orchestator ls",
)


@pytest.mark.parametrize("line", WRONG)
def test_what_is_no_command_is_found(line: str) -> None:
    with pytest.raises((click.UsageError, AssertionError, SystemExit)):
        check(shlex.split(line))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_prose_are_known_with_their_options(page: Path) -> None:
    for text in inline_code(page):
        # Behind a bare -- stand the words of another program.
        words = text.partition(" -- ")[0].split()
        if words[0] != "orchestrator" or len(words) == 1:
            continue
        context = click.Context(cli, **cli.context_settings)
        command = cli.get_command(context, words[1]) if words[1].isalpha() and words[1].islower() else cli
        assert command is not None, f"{page.name}: `{text}`"
        if command.context_settings.get("ignore_unknown_options"):
            continue
        known = {option for each in command.params for option in each.opts + each.secondary_opts}
        given = {word.partition("=")[0] for word in words if word.startswith("-")} - {"-h", "--help", "--version"}
        assert given <= known, f"{page.name}: `{text}`"


@named(of("toml"))
def test_a_spec_is_one(block: Block, tmp_path: Path) -> None:
    data = tomllib.loads(block.text)
    fragment = dict(FRAGMENT)
    if "command" in data:
        del fragment["objective"]
    spec = validate(fragment | data, block.where)
    check_sampler(spec)
    check_pruner(spec)
    here = {each.file: each.text for each in blocks(block.page) if each.file}
    for name, text in here.items():
        (tmp_path / name).write_text(text)
    module = spec.objective.partition(":")[0]
    if f"{module}.py" in here or module.startswith("tasks."):
        check_objective(spec.objective, (tmp_path,))


@named(of("json"))
def test_json_is_json(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for file, anchor in links(page):
        assert file.exists(), f"{page.name}: there is no {file.name}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {file.name} has no heading for #{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_file_or_module_that_a_page_names_is_there(page: Path) -> None:
    for text in inline_code(page):
        if (
            re.fullmatch(r"(orchestrator|tasks|tests|docs|docker|studies)/[\w./*-]+", text)
            and page.parent.name != "docker"
        ):
            assert list(ROOT.glob(text.rstrip("/"))), f"{page.name}: there is no `{text}`"
        if re.fullmatch(r"test_\w+\.py", text):
            assert list((ROOT / "tests").rglob(text)), f"{page.name}: there is no `{text}`"
        if re.fullmatch(r"(orchestrator|tasks)(\.[a-z_]+)+", text) and not text.endswith((".py", ".objectives")):
            assert importlib.util.find_spec(text) is not None, f"{page.name}: there is no module `{text}`"


def long_lines(text: str) -> list[str]:
    """Returns the lines of prose that are too long; targets of links, tables and code may be of any length."""
    found, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        read = re.sub(r"\]\([^)]*\)", "]", line)
        if len(read) > LONGEST_LINE and not fenced and not line.lstrip().startswith("|"):
            found.append(line)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_prose_fit_in_an_editor(page: Path) -> None:
    assert long_lines(page.read_text()) == []


def test_a_line_that_is_too_long_is_found() -> None:
    words = "word " * 25
    spared = [f"| {words} |", "[word](" + "x" * LONGEST_LINE + ")", "```", words, "```"]
    assert long_lines("\n".join([*spared, words, "short"])) == [words]


def test_every_variable_is_one() -> None:
    code = "".join(path.read_text() for folder in ("orchestrator", "tasks") for path in (ROOT / folder).rglob("*.py"))
    known = set(re.findall(rf"{PREFIX}[A-Z_]+", code)) | {PREFIX + name.upper() for name in Settings.model_fields}
    for page in PAGES:
        named = set(re.findall(rf"{PREFIX}[A-Z]+(?:_[A-Z]+)*", page.read_text()))
        assert named <= known, page.name


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = ROOT / "docs" / "README.md"
    listed = {file for file, _ in links(contents)}
    pages = {page for page in PAGES if page.parent == contents.parent} - {contents}
    assert pages <= listed, "docs/README.md leaves a page out"
