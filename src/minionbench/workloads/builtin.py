"""The workloads that can be asked for: Prefill, Balanced, Decode, and data sets by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from os import PathLike
from typing import NamedTuple

from minionbench.errors import UsageError
from minionbench.exchange import Request
from minionbench.workloads import chat, finance, maths
from minionbench.workloads.data_set import DataSet, choose_data_set
from minionbench.workloads.jsonl import shown
from minionbench.workloads.tokenizer import reference_tokenizer
from minionbench.workloads.workload import (
    Count,
    Example,
    Item,
    answer_limits,
    as_request,
    check_number,
    check_size,
)

DATA_SET_VERSION = 1
"""Raised whenever the text that is made of a given file changes."""


class Generator(NamedTuple):
    """A built-in source of items."""

    name: str
    version: int
    make: Callable[[int, int, Count, int], Example]
    default_input_tokens: int
    max_output_tokens: int

    @property
    def source(self) -> str:
        """`builtin:prefill@1`."""
        return f"builtin:{self.name}@{self.version}"

    def items(self, n: int, seed: int, input_tokens: int | None, count: Count) -> Iterator[Item]:
        """The first n items of a seed.

        Raises:
            UsageError: the length is below the smallest that can be made.
        """
        size = self.default_input_tokens if input_tokens is None else input_tokens
        check_size(self.name, size)
        return (self.make(seed, index, count, size) for index in range(n))

    def item(self, item_id: str, count: Count) -> Item:
        """The item of an id: it names seed, number and length, which are all that the text needs.

        Raises:
            UsageError: it is no id of this generator, or of another version of its texts.
        """
        parts = item_id.removeprefix(f"{self.name}@").split("/")
        try:
            version, seed, index, size = map(int, parts)
        except ValueError:
            version = seed = index = size = -1
        if f"{self.name}@{version}/{seed}/{index}/{size}" != item_id or index < 0:
            raise UsageError(
                f"{shown(item_id)} is no item of {self.name}; its ids are like "
                f"{self.name}@{self.version}/0/3/{self.default_input_tokens}: version, seed, "
                "number and length."
            )
        if version != self.version:
            raise UsageError(
                f"{item_id} is of version {version} of {self.name}'s texts, and this program makes "
                f"version {self.version}: the text that was asked then cannot be asked again."
            )
        check_size(self.name, size)
        return self.make(seed, index, count, size)


class TextWorkload:
    """Requests made from the items of a generator or a data set."""

    def __init__(
        self,
        name: str,
        version: int,
        items: Generator | DataSet,
        input_tokens: int | None,
        output_tokens: int | None,
        max_output_tokens: int | None,
        source: str | None = None,
    ) -> None:
        """`source` is what a document says of where the items are from, where that is more than
        they say themselves."""
        cap = items.max_output_tokens if max_output_tokens is None else max_output_tokens
        answer_limits(cap, output_tokens, 0)
        self.name = name
        self.version = version
        self.source = items.source if source is None else source
        self.input_tokens = input_tokens
        """Length that is asked for; None where each item has its own length."""
        self.output_tokens = output_tokens
        """Length that answers are forced to; None for a natural end."""
        self.max_output_tokens = cap
        self._items = items

    def requests(self, n: int, seed: int) -> Iterator[Request]:
        """The first n requests of a seed; request i is the same whatever n is.

        Raises:
            UsageError: n is negative, or a data set has fewer items.
        """
        check_number(n)
        limits = answer_limits(self.max_output_tokens, self.output_tokens, seed)
        items = self._items.items(n, seed, self.input_tokens, reference_tokenizer().count)
        return (as_request(item, self.source, limits) for item in items)

    def has(self, item_id: str) -> bool:
        """Whether an id is one of this workload's kind of items."""
        return item_id.startswith(f"{self._items.name}@")

    def request(self, item_id: str, seed: int) -> Request:
        """The request of one item, whatever seed it was drawn by.

        Raises:
            UsageError: there is no such item.
        """
        limits = answer_limits(self.max_output_tokens, self.output_tokens, seed)
        item = self._items.item(item_id, reference_tokenizer().count)
        return as_request(item, self.source, limits)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(source={self.source!r}, input_tokens={self.input_tokens})"


class _Named(TextWorkload):
    """A workload known by its name, built in or, where a data set is given, taken from it."""

    _generator: Generator

    def __init__(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        max_output_tokens: int | None = None,
        dataset: str | PathLike[str] | None = None,
        download: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`dataset` is a path, or `hub` for the real data that this workload was made after; only
        with `download` is it fetched, and `say` told so."""
        built_in = self._generator
        items: Generator | DataSet = built_in
        version, source = built_in.version, None
        if dataset is not None:
            chosen = choose_data_set(dataset, built_in.name, download=download, say=say)
            items, version, source = chosen.data_set, DATA_SET_VERSION, chosen.source
        elif download:
            raise UsageError("There is nothing to download without a data set: --dataset hub")
        size = input_tokens
        if size is None and items.default_input_tokens is not None:
            size = built_in.default_input_tokens
        if dataset is None and size is not None:
            check_size(built_in.name, size)
        super().__init__(
            built_in.name, version, items, size, output_tokens, max_output_tokens, source
        )


class Prefill(_Named):
    """Long in, short out: a question about a report, by default of 1,200 tokens."""

    _generator = Generator(
        finance.NAME, finance.VERSION, finance.example, finance.DEFAULT_INPUT_TOKENS, 128
    )


class Balanced(_Named):
    """As much in as out: a conversation with an assistant, by default of 750 tokens."""

    _generator = Generator(chat.NAME, chat.VERSION, chat.example, chat.DEFAULT_INPUT_TOKENS, 512)


class Decode(_Named):
    """Short in, long out: a maths problem that asks for a worked solution, by default of 300."""

    _generator = Generator(
        maths.NAME, maths.VERSION, maths.example, maths.DEFAULT_INPUT_TOKENS, 768
    )


def data_set_workload(
    data_set: DataSet,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    source: str | None = None,
) -> TextWorkload:
    """A data set as a workload that has the data set's name."""
    size = data_set.default_input_tokens if input_tokens is None else input_tokens
    return TextWorkload(
        data_set.name, DATA_SET_VERSION, data_set, size, output_tokens, None, source
    )
