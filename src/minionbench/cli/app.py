"""The command `minionbench`: its subcommands, loaded when used, and the edge for all errors."""

from __future__ import annotations

from importlib import import_module

import click

from minionbench import __version__
from minionbench.errors import MinionbenchError

COMMANDS = {
    "run": ("minionbench.cli.run", "Measure a model over the workloads."),
    "sweep": (
        "minionbench.cli.sweep",
        "Measure every combination of some factors, as one designed run.",
    ),
    "autobench": ("minionbench.cli.autobench", "Measure every model of the registry."),
    "compare": ("minionbench.cli.compare", "Say what changed between runs, and how surely."),
    "gate": ("minionbench.cli.gate", "Fail when something got worse than a baseline."),
    "ab": ("minionbench.cli.ab", "Measure two things in turn, and compare them."),
    "select": ("minionbench.cli.select", "Choose the best model or deployment of a run."),
    "report": ("minionbench.cli.report", "Make a page of runs that opens offline."),
    "plot": ("minionbench.cli.plot", "Draw one plot of runs as SVG or PNG."),
    "import": ("minionbench.cli.import_", "Make run documents of what other programs measured."),
    "export": ("minionbench.cli.export", "Give a run to another program."),
    "runs": ("minionbench.cli.runs", "List, show, ask, recover, regrade and prune runs."),
    "registry": ("minionbench.cli.registry", "List, add, promote and verify models."),
    "doctor": ("minionbench.cli.doctor", "Say what this machine offers and what it lacks."),
    "simulate": ("minionbench.cli.simulate", "Pose as a provider with known answers and times."),
    "schema": ("minionbench.cli.schema", "Print the JSON Schema of the run document."),
}
"""Subcommand → the module that defines it as `command`, and its line in the overview."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


class LazyGroup(click.Group):
    """A group whose subcommands are imported only when one of them is called.

    The overview is printed from the table alone: it costs no import.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The subcommand of that name; None for an unknown one."""
        if name not in COMMANDS:
            return None
        command = import_module(COMMANDS[name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the overview of the subcommands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="minionbench", message="%(prog)s %(version)s")
def app() -> None:
    """Measures language models so that the numbers can be trusted.

    `minionbench run` with no flags measures the model that comes with the program.
    """


def run_app(arguments: list[str] | None) -> int:
    """Runs one call of the command line and turns how it ended into an exit code.

    0 fine; 1 ran, but failed its check; 2 wrong usage or input; 3 could not set up;
    130 interrupted. Only an error that is a bug shows a traceback. When the reader of the output
    goes away (`| head`), click ends the process without a word.
    """
    try:
        code = app.main(arguments, prog_name="minionbench", standalone_mode=False)
    except click.exceptions.Abort:
        return interrupted()
    except KeyboardInterrupt:
        return interrupted()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MinionbenchError as error:
        click.echo(f"minionbench: {error}", err=True)
        return error.exit_code
    except Exception:  # noqa: BLE001 - the edge of one call of the command line: what arrives here is a bug
        return bug()
    return code if isinstance(code, int) else 0


def interrupted() -> int:
    """Says that the call was interrupted; returns its exit code."""
    click.echo("minionbench: interrupted", err=True)
    return INTERRUPTED


def bug() -> int:
    """Shows the traceback of an error that nobody foresaw; returns the exit code."""
    import traceback

    traceback.print_exc()
    click.echo(
        f"minionbench {__version__}: this is a bug in minionbench, not in what you did. "
        "Please report it with the lines above.",
        err=True,
    )
    return 1
