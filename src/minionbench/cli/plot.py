"""`minionbench plot`: one plot of runs as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from minionbench.cli.report import loaded, runs_folder_option
from minionbench.cli.text import printable


class PlotName(click.ParamType[str]):
    """The name of a plot; the names are read when one is needed, since that imports a lot."""

    name = "plot"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The name, if there is such a plot."""
        from minionbench.report import PLOTS

        name = str(value)
        if name not in PLOTS:
            self.fail(f"there is no plot {name!r}. There are: {', '.join(PLOTS)}.", param, ctx)
        return name


@click.command(name="plot")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--what",
    type=PlotName(),
    required=True,
    metavar="PLOT",
    help="overview, front, heat-map, throughput, ttft, latency, response, timeline, course, "
    "energy, memory or comparison.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="Where it is written; the ending says how: .svg or .png.",
)
@click.option("--dark", is_flag=True, help="For a dark page.")
@click.option("--narrow", is_flag=True, help="Panels below each other, for a narrow column.")
@click.option(
    "--scale",
    type=click.FloatRange(0.5, 8),
    default=2,
    show_default=True,
    help="Pixels of a PNG per pixel of the drawing.",
)
@runs_folder_option
def command(
    runs: tuple[str, ...],
    what: str,
    output: Path,
    dark: bool,
    narrow: bool,
    scale: float,
    output_dir: Path | None,
) -> None:
    """Draw one plot of runs as SVG or PNG.

    RUN is a run id, the path of a document, or `latest`, which is also the default. Prints what
    there is to see in words.

    Needs the extra `report`: pip install 'minionbench[report]'.
    """
    from minionbench.report import write_plot

    figure = write_plot(
        loaded(runs, output_dir), what, output, narrow=narrow, dark=dark, scale=scale
    )
    click.echo(printable(figure.finding))
    click.echo(f"Plot: {output}")
