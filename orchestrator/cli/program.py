"""The program: its group of commands, its help, and how an error becomes one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import select
import stat
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import click

from orchestrator.common.advice import for_the_shell
from orchestrator.common.errors import BadInput, OrchestratorError, reason_of
from tasks.code_path import add_code_folders
from tasks.gc_tuning import RARELY
from tasks.platform_support import refusal
from tasks.process_guards import end_process

PROGRAM = "orchestrator"

SECTIONS: dict[str, tuple[str, ...]] = {
    "Running a search": ("init", "validate", "run", "submit"),
    "Looking": (
        "ls",
        "status",
        "watch",
        "trials",
        "why",
        "logs",
        "compare",
        "replay",
        "tune-rule",
        "workers",
        "schedule",
    ),
    "Steering": ("pause", "resume", "stop", "retry", "enqueue", "delete"),
    "Results": ("best", "models", "code", "report", "export"),
    "Processes": ("serve", "worker", "beat", "flower", "dashboard"),
    "This program": ("doctor", "prepare", "completion"),
}
"""The commands by heading of the help, in the order in which a new user needs them."""

EPILOG = """`orchestrator COMMAND --help` says more about each. `run` needs no servers. A fleet has two, which every
process finds in ORCHESTRATOR_REDIS_URL and, workers excepted, ORCHESTRATOR_STORAGE_URL."""


class SectionedGroup(click.Group):
    """A group whose help lists its commands by section; commands without a section come last."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        known = [name for names in SECTIONS.values() for name in names if name in self.commands]
        return known + sorted(set(self.commands) - set(known))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        left = dict.fromkeys(self.list_commands(ctx))
        # One column of names for all sections.
        widest = max(map(len, left), default=0)
        for heading, names in (*SECTIONS.items(), ("Other", tuple(left))):
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                if name in left and command is not None and not command.hidden:
                    del left[name]
                    rows.append((name.ljust(widest), command.get_short_help_str(formatter.width)))
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


@click.group(
    cls=SectionedGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@click.version_option(package_name="trial-orchestrator", prog_name=PROGRAM)
@click.pass_context
def cli(context: click.Context) -> None:
    """Hyperparameter search with Optuna objectives, on this machine or on a fleet of GPU workers.

    \b
    Begin with
        orchestrator init mine
        cd mine && orchestrator run search.toml
    """
    context.with_resource(for_the_shell())
    # Optuna warns of each choice that is a list whenever one is read back. The trial's log says it, where it is chosen.
    warnings.filterwarnings("ignore", "Choices for a categorical distribution", UserWarning)


def console() -> None:
    """Runs the command line as a process, which ends at once."""
    code = 0
    try:
        main()
    except SystemExit as ending:
        if not isinstance(ending.code, int | None):
            raise
        code = ending.code or 0
    end_process(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line of this process, or ``arguments``.

    An error that the user can mend is one line on stderr and an exit code.
    """
    _prepare_streams()
    if problem := refusal():
        _fail(f"{PROGRAM}: {problem}", 2)
    # What a command imports stays: looking for garbage in it again and again is a tenth of a short command's time.
    gc.set_threshold(RARELY, *gc.get_threshold()[1:])
    # An objective beside the spec is found from the working directory, which may have been deleted.
    with contextlib.suppress(OSError):
        add_code_folders([Path.cwd()])
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        _check_arguments(arguments)
        cli.main(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        _fail(error.format_message(), 2)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see '{context.command_path} --help')" if context else ""
        _fail(f"{PROGRAM}: {_explained(error).rstrip('.')}{hint}", 2)
    except click.Abort:
        _fail(f"{PROGRAM}: interrupted", 130)
    except OrchestratorError as error:
        _fail(f"{PROGRAM}: {error}", error.exit_code)
    except Exception as error:
        from orchestrator.api.access import server_trouble

        if (known := server_trouble(error)) is not None:
            _fail(f"{PROGRAM}: {known}", known.exit_code)
        if isinstance(error, OSError) and error.filename is None and (problem := _output_problem()):
            _fail(f"{PROGRAM}: standard output: cannot be written: {problem}", 1)
        raise


def _prepare_streams() -> None:
    """Has the streams of this process take any text: nothing is kept of one that is closed, and a character that the
    encoding of another lacks is replaced."""
    # In the order of their descriptors, so that no file that is opened later gets one of these.
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nothing, "r" if name == "stdin" else "w", encoding="utf-8"))
        elif name == "stdout" and isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _output_problem() -> str:
    """Returns why what was printed cannot be written; empty where it can. What was written stays as it is."""
    try:
        sys.stdout.flush()
        # What could not be written may be dropped by now, so that only another write tells.
        _try_to_write(sys.stdout.fileno())
    except io.UnsupportedOperation:
        return ""  # an object of Python's, which has no descriptor
    except OSError as error:
        return reason_of(error)
    return ""


def _try_to_write(fd: int) -> None:
    """Raises OSError where nothing can be written; leaves no trace where it can."""
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        os.pwrite(fd, b"\n", status.st_size)
        os.ftruncate(fd, status.st_size)
    elif stat.S_ISCHR(status.st_mode) and not os.isatty(fd):
        os.write(fd, b"\n")  # a device that keeps nothing, such as /dev/full
    else:
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        events = dict(poll.poll(0)).get(fd, 0)
        if events & select.POLLERR:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if events & select.POLLHUP:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def _fail(line: str, exit_code: int) -> None:
    try:
        click.echo(line, err=True)
    except OSError:
        # The terminal was closed. What is still buffered must not fail again, and change the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    sys.exit(exit_code)


def _check_arguments(arguments: Sequence[str]) -> None:
    """Refuses an argument that no terminal, database or JSON text can hold.

    Raises:
        BadInput: an argument is not UTF-8.
    """
    for each in arguments:
        if not each.isascii() and any("\ud800" <= character <= "\udfff" for character in each):
            raise BadInput(f"argument {each[:100]!r}", "is not UTF-8", "give it in UTF-8, or rename the file")


def _explained(error: click.ClickException) -> str:
    """Returns click's message; of similar names it keeps the nearest, which comes first."""
    if isinstance(error, click.exceptions.NoSuchOption | click.exceptions.NoSuchCommand) and error.possibilities:
        return f"{error.message.rstrip('.')}; did you mean '{error.possibilities[0]}'?"
    return error.format_message()
