"""`minionbench export`: a run for other programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from minionbench.cli.text import printable
from minionbench.errors import SetupError, UsageError
from minionbench.units import number_of

if TYPE_CHECKING:
    from minionbench.exporters.posting import Server
    from minionbench.schema import BenchmarkRun

KINDS = ("mlflow", "otel", "prometheus", "csv", "parquet")
ADDRESSES = {
    "mlflow": ("MLflow", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"),
    "otel": ("The collector", "OTEL_EXPORTER_OTLP_ENDPOINT", None),
}
"""How a server is called, and the variables that hold its address and key where none is named."""


class Asked(NamedTuple):
    """What was asked for."""

    run: BenchmarkRun
    path: Path
    output: Path | None
    url: str | None
    key_variable: str | None
    experiment: str
    timestamps: bool


@click.command(name="export")
@click.argument("run", default="latest")
@click.option(
    "--to", "kind", type=click.Choice(KINDS), required=True, help="Who is to have the run."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="prometheus: a file.  [default: the terminal]  csv, parquet: a folder.  [default: the "
    "run's id]",
)
@click.option(
    "--url",
    metavar="URL",
    help="mlflow, otel: address of the server.  [default: $MLFLOW_TRACKING_URI, "
    "$OTEL_EXPORTER_OTLP_ENDPOINT]",
)
@click.option(
    "--api-key-env",
    metavar="NAME",
    help="mlflow, otel: variable that holds the server's key.  [default: for mlflow "
    "MLFLOW_TRACKING_TOKEN, where that is set]",
)
@click.option(
    "--experiment", default="minionbench", show_default=True, help="mlflow: name of the experiment."
)
@click.option(
    "--timestamps", is_flag=True, help="prometheus: put the run's instant behind each sample."
)
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the documents.  [default: that of the state directory]",
)
def command(
    run: str,
    kind: str,
    output: Path | None,
    url: str | None,
    api_key_env: str | None,
    experiment: str,
    timestamps: bool,
    output_dir: Path | None,
) -> None:
    """Give a run to another program.

    RUN is a run id, the path of a document, or `latest`, which is also the default.

    \b
    mlflow      a run of MLflow for the document, below it one per cell
    otel        OpenTelemetry metrics to a collector, by OTLP over HTTP;
                needs pip install 'minionbench[otel]'
    prometheus  text for Prometheus, as node_exporter and the Pushgateway take it
    csv         tables of cells and of requests
    parquet     the same; needs pip install 'minionbench[report]'
    """
    _refuse_unused(kind, output=output, url=url, key=api_key_env, timestamps=timestamps)
    from minionbench.store import load_run, runs_dir

    path, document = load_run(run, runs_dir(output_dir))
    asked = Asked(document, path, output, url, api_key_env, experiment, timestamps)
    WAYS[kind](asked)


def _refuse_unused(
    kind: str, *, output: Path | None, url: str | None, key: str | None, timestamps: bool
) -> None:
    """A flag that does nothing here is a mistake that its user should hear of."""
    served = kind in ADDRESSES
    wrong = {
        "--output": output is not None and served,
        "--url": url is not None and not served,
        "--api-key-env": key is not None and not served,
        "--timestamps": timestamps and kind != "prometheus",
    }
    for flag, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(f"{flag} says nothing to --to {kind}; leave it out.")


def _server(asked: Asked, kind: str) -> Server:
    from minionbench.engines.keys import KeyReference, look_up
    from minionbench.exporters.posting import Server

    what, address, key_variable = ADDRESSES[kind]
    url = asked.url or os.environ.get(address, "")
    if not url.strip():
        raise UsageError(f"{what} is where? Name its address by --url, or in ${address}.")
    name = asked.key_variable
    if name is None and key_variable is not None and os.environ.get(key_variable, "").strip():
        name = key_variable
    key = None
    if name is not None:
        reference = KeyReference.of_variable(name)
        if not os.environ.get(name, "").strip():
            raise SetupError(f"The variable {name}, which should hold the key of {what}, is empty.")
        key = look_up(reference, of=f"the key of {what}").secret
    server = Server(url, what, key)
    if server.unencrypted:
        click.echo(
            "minionbench: the key goes over the network unencrypted; take an https address",
            err=True,
        )
    return server


def _to_mlflow(asked: Asked) -> None:
    from minionbench.exporters.mlflow import export_run

    if not asked.experiment.strip():
        raise UsageError("--experiment takes a name that is not empty.")
    server = _server(asked, "mlflow")
    made = export_run(asked.run, server, asked.experiment)
    below = number_of(made.children, "run")
    click.echo(
        printable(
            f"MLflow: run {made.run_id} with {below} below it, in the experiment "
            f"{asked.experiment}: {server.url}/#/experiments/{made.experiment_id}"
        )
    )


def _to_otel(asked: Asked) -> None:
    from minionbench.exporters.otel import export_run, require_opentelemetry

    require_opentelemetry()
    server = _server(asked, "otel")
    sent = export_run(asked.run, asked.path, server)
    told = f"{number_of(sent.histograms, 'histogram')} of {number_of(sent.calls, 'call')}"
    if not sent.calls:
        told = "no histogram, since the document has no records,"
    click.echo(f"OpenTelemetry: {told} and {number_of(sent.gauges, 'gauge')} sent to {server.url}")


def _to_prometheus(asked: Asked) -> None:
    from minionbench.exporters.prometheus import prometheus_text
    from minionbench.schema import write_atomically

    text = prometheus_text(asked.run, timestamps=asked.timestamps)
    if asked.output is None:
        click.echo(text, nl=False)
        return
    write_atomically(asked.output, text.encode())
    click.echo(f"Prometheus text: {asked.output}")


def _to_tables(form: str) -> Callable[[Asked], None]:
    def write(asked: Asked) -> None:
        from minionbench.exporters.tidy import require_duckdb, write_tables

        if form == "parquet":
            require_duckdb()
        folder = asked.output or Path(asked.run.metadata.run_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"The folder {folder} cannot be made: {error.strerror}.") from error
        files = write_tables(asked.run, asked.path, folder, "csv" if form == "csv" else "parquet")
        for file in files:
            click.echo(f"Table: {file}")

    return write


WAYS: dict[str, Callable[[Asked], None]] = {
    "mlflow": _to_mlflow,
    "otel": _to_otel,
    "prometheus": _to_prometheus,
    "csv": _to_tables("csv"),
    "parquet": _to_tables("parquet"),
}
