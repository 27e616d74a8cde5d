"""Finds a workload by its name."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike, fspath

from minionbench.errors import UsageError
from minionbench.workloads.builtin import Balanced, Decode, Prefill, data_set_workload
from minionbench.workloads.data_set import FORMATS, choose_data_set
from minionbench.workloads.hub import is_hub
from minionbench.workloads.workload import Workload

BUILT_IN = {"prefill": Prefill, "balanced": Balanced, "decode": Decode}
"""The workloads that need no data set."""


def workload(
    name: str,
    *,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    dataset: str | PathLike[str] | None = None,
    download: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Workload:
    """The workload of a name: `prefill`, `balanced`, `decode`, or a data set's format.

    `dataset` is the path of a data set, `FORMAT:PATH`, or `hub` or `hub:NAME` for one of the hub's;
    a built-in workload takes its items from it, and a workload named after a format needs it. What
    the hub's cache lacks is fetched with `download` only, and `say` told so.

    Raises:
        UsageError: unknown name, a length that cannot be made, or a data set that is missing or
            has another format.
        SetupError: the hub cannot be reached.
    """
    known = name.lower()
    if known in BUILT_IN:
        return BUILT_IN[known](
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            dataset=dataset,
            download=download,
            say=say,
        )
    if known not in FORMATS:
        raise UsageError(
            f"There is no workload {name!r}. Built in are {', '.join(BUILT_IN)}; with --dataset "
            f"PATH also {', '.join(FORMATS)}."
        )
    if dataset is None:
        raise UsageError(
            f"The workload {known} needs your copy of the data set: name it with --dataset PATH, "
            "or take the hub's with --dataset hub."
        )
    path = fspath(dataset)
    if path.partition(":")[0].lower() not in FORMATS and not is_hub(path):
        path = f"{known}:{path}"
    chosen = choose_data_set(path, known, download=download, say=say)
    if chosen.data_set.name != known:
        raise UsageError(
            f"The workload {known} was asked for, but the data set is {chosen.data_set.name}."
        )
    return data_set_workload(chosen.data_set, input_tokens, output_tokens, chosen.source)
