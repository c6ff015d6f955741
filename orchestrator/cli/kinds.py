"""A group that shows its commands under headings, and a command that hands on what it was given."""

from __future__ import annotations

import click

SECTIONS: dict[str, tuple[str, ...]] = {
    "Running a search": ("init", "validate", "run", "submit"),
    "Looking": ("ls", "status", "watch", "trials", "why", "logs", "replay", "schedule"),
    "Steering": ("pause", "resume", "stop", "retry", "enqueue"),
    "Results": ("report", "export"),
    "Processes": ("serve", "worker", "beat", "flower", "dashboard"),
    "This program": ("doctor", "prepare", "completion"),
}
"""In the order in which somebody meets them."""


class Passed(click.Command):
    """A command that gives its arguments to another program as they are, once they have been checked.

    They are in the context's ``meta``, under ``GIVEN``.
    """

    GIVEN = "orchestrator.given"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[self.GIVEN] = list(args)
        return super().parse_args(ctx, args)


class Sections(click.Group):
    """A group whose help has its commands by section; those of none come last."""

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
