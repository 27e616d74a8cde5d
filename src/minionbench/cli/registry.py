"""`minionbench registry`: the list of models, what is in use, and whether the files are whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minionbench.cli.table import ABSENT
from minionbench.cli.text import aligned, printable, width, wrapped

if TYPE_CHECKING:
    from minionbench.registry import Activation, RegisteredModel, Verified

registry_option = click.option(
    "--registry",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="JSON list of models.  [default: in the state directory]",
)
form_option = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="table for people, json for programs.",
)
unchecked_option = click.option(
    "--no-check", is_flag=True, help="Do it even if there is no model at its path."
)


@click.group(name="registry")
def command() -> None:
    """List, add, promote and verify models."""


@command.command(name="list")
@registry_option
@form_option
def list_command(registry: Path | None, form: str) -> None:
    """List the models, in the registry's order."""
    from minionbench.registry import read_models

    path = chosen(registry)
    models = read_models(path)
    if form == "json":
        click.echo(json.dumps([facts(model, path) for model in models], indent=2))
    elif models:
        click.echo("\n".join(listed(models)))
    else:
        click.echo(f"No models in {path}; `minionbench registry add MODEL` adds the first.")


@command.command(name="add")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--version", help="What it is called.  [default: the name of its file]")
@click.option("--base-model", help="What it was made from.  [default: what its file says]")
@click.option("--quantization", help="Its weight format.  [default: what its file says]")
@click.option("--distilled-from", help="The adapter or teacher, where there is one.")
@click.option("--commit-hash", help="The commit that made it.")
@click.option("--replace", is_flag=True, help="Write the entry of this version anew.")
@registry_option
@form_option
def add_command(
    model: Path,
    version: str | None,
    base_model: str | None,
    quantization: str | None,
    distilled_from: str | None,
    commit_hash: str | None,
    replace: bool,
    registry: Path | None,
    form: str,
) -> None:
    """Add a model: a GGUF file, or a folder.

    Its files are read whole, and their SHA-256 is stored, for `registry verify`.
    """
    from minionbench.registry import Description, add_model

    path = chosen(registry)
    said = Description(
        version=version,
        base_model=base_model,
        quantization=quantization,
        distilled_from=distilled_from,
        commit_hash=commit_hash,
    )
    added = add_model(path, model, said, replace=replace)
    if form == "json":
        click.echo(json.dumps(added.fields, indent=2))
        return
    verb = "Replaced" if added.replaced else "Added"
    click.echo(f"{verb} {printable(added.version)} in {path}.")
    for line in fields_of(added.fields):
        click.echo(line)
    for note in added.notes:
        click.echo(note)


@command.command(name="show")
@click.argument("version", required=False)
@registry_option
@form_option
def show_command(version: str | None, registry: Path | None, form: str) -> None:
    """Show an entry; without VERSION, that of the active model."""
    from minionbench.errors import UsageError
    from minionbench.registry import find_model, read_models

    models = read_models(chosen(registry))
    if version is None:
        active = [model.version for model in models if model.active]
        if len(active) != 1:
            there = f"{len(active)} models are" if active else "No model is"
            raise UsageError(f"{there} active; name a version.")
        version = active[0]
    model = find_model(models, version)
    if form == "json":
        click.echo(json.dumps(model.fields, indent=2))
    else:
        for line in fields_of(model.fields):
            click.echo(line)


@command.command(name="promote")
@click.argument("version")
@unchecked_option
@registry_option
@form_option
def promote_command(version: str, no_check: bool, registry: Path | None, form: str) -> None:
    """Make a model the active one.

    The one that was active before becomes the last good one, which `rollback` goes back to.
    """
    from minionbench.registry import promote

    say(promote(chosen(registry), version, check=not no_check), form)


@command.command(name="rollback")
@unchecked_option
@registry_option
@form_option
def rollback_command(no_check: bool, registry: Path | None, form: str) -> None:
    """Make the last good model the active one."""
    from minionbench.registry import rollback

    say(rollback(chosen(registry), check=not no_check), form)


@command.command(name="verify")
@click.argument("versions", nargs=-1, metavar="[VERSION]...")
@registry_option
@form_option
def verify_command(versions: tuple[str, ...], registry: Path | None, form: str) -> int:
    """Read the models' files again and compare their SHA-256.

    Leaves with 1 when a file is changed, missing, unreadable or new, or a model is not there.
    """
    from minionbench.registry import verify_registry

    path = chosen(registry)
    verified = verify_registry(path, versions)
    if form == "json":
        click.echo(json.dumps([verdict(model) for model in verified], indent=2))
    else:
        click.echo("\n".join(verdicts(verified, path)))
    return 1 if any(model.off for model in verified) else 0


def chosen(registry: Path | None) -> Path:
    """The registry that was named, or the state directory's."""
    from minionbench.store import registry_path

    return registry_path() if registry is None else registry


def facts(model: RegisteredModel, registry: Path) -> dict[str, Any]:
    """A model for a program; `problem` says why an entry cannot be used."""
    from minionbench.errors import UsageError
    from minionbench.registry import UnusableEntry, located

    entry = model.entry
    if isinstance(entry, UnusableEntry):
        return {"version": entry.version, "problem": entry.problem}
    path = problem = None
    if entry.model_path:
        try:
            path = str(located(entry.model_path, registry))
        except UsageError as error:
            problem = str(error)
    return {
        "version": entry.version,
        "model_type": entry.model_type,
        "base_model": entry.base_model,
        "quantization": entry.quantization,
        "distilled_from": entry.distilled_from,
        "model_path": path,
        "active": model.active,
        "last_good": model.last_good,
        "problem": problem,
    }


def listed(models: Sequence[RegisteredModel]) -> Iterator[str]:
    """The models for a person, one line each."""
    from minionbench.registry import UnusableEntry

    rows = [["version", "type", "format", "base model", "state"]]
    for model in models:
        entry = model.entry
        if isinstance(entry, UnusableEntry):
            cells = [entry.version, ABSENT, ABSENT, ABSENT, f"cannot be used: {entry.problem}"]
        else:
            marks = [("active", model.active), ("last good", model.last_good)]
            state = ", ".join(word for word, marked in marks if marked)
            cells = [
                entry.version,
                entry.model_type,
                entry.quantization or ABSENT,
                entry.base_model or ABSENT,
                state,
            ]
        rows.append([one_line(cell) for cell in cells])
    yield from aligned(rows, [False] * 5)


def fields_of(fields: dict[str, Any]) -> Iterator[str]:
    """An entry for a person, a field to a line."""
    rows = []
    for name, value in fields.items():
        if name == "files" and isinstance(value, dict):
            said = f"{len(value)} with SHA-256"
        elif isinstance(value, str):
            said = value
        elif value is None:
            said = ABSENT
        else:
            said = json.dumps(value)
        rows.append([f"  {one_line(name)}", one_line(said)])
    yield from aligned(rows, [False, False])


def say(activation: Activation, form: str) -> None:
    """Prints which model is in use now."""
    if form == "json":
        click.echo(
            json.dumps(
                {
                    "active": activation.version,
                    "before": list(activation.before),
                    "last_good": activation.last_good,
                    "changed": activation.changed,
                    "notes": list(activation.notes),
                },
                indent=2,
            )
        )
        return
    for line in activated(activation):
        click.echo(line)


def activated(activation: Activation) -> Iterator[str]:
    """Which model is in use now, for a person."""
    if not activation.changed:
        yield f"{printable(activation.version)} is active already; nothing was changed."
        return
    before = ", ".join(activation.before)
    instead = f", instead of {before}" if before else ""
    yield printable(f"{activation.version} is active now{instead}.")
    if activation.last_good is not None and activation.last_good != activation.version:
        yield printable(f"Last good: {activation.last_good}; `registry rollback` goes back to it.")
    for note in activation.notes:
        yield from wrapped(note, width())


def verdict(model: Verified) -> dict[str, Any]:
    """What is to be said of a model's files, for a program."""
    return {
        "version": model.version,
        "state": model.state,
        "path": None if model.path is None else str(model.path),
        "reason": model.reason,
        "files": [problem._asdict() for problem in model.problems],
    }


def verdicts(models: Sequence[Verified], registry: Path) -> Iterator[str]:
    """What is to be said of all models' files, for a person."""
    for model in models:
        first = f"{one_line(model.version)}: {model.state}"
        yield from wrapped(f"{first}: {model.reason}" if model.reason else first, width(), "", "  ")
        for problem in model.problems:
            line = f"{problem.state} {one_line(problem.file)}: {problem.detail}"
            yield from wrapped(line, width(), "  ", "    ")
    counts = {
        state: sum(model.state == state for model in models)
        for state in ("intact", "damaged", "unusable", "unverified")
    }
    said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    yield f"{said or 'No models'} in {registry}."


def one_line(text: str) -> str:
    """Text from a file, fit for a line of a table."""
    return " ".join(printable(text).split())
