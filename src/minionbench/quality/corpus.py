"""A corpus with queries and graded judgements: what retrieval is measured on."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Corpus(msgspec.Struct, frozen=True, kw_only=True):
    """Documents, queries, and how well each judged document answers each query.

    The ids of documents begin with `d:` and those of queries with `q:`, so that no query is ever
    taken for a document, however the data set numbers them.
    """

    name: str
    source: str
    """`builtin:retrieval@1`, or the data set's split and content."""
    key: str
    """What its requests' ids begin with: another text has another key."""
    version: int
    documents: Mapping[str, str]
    """Text by id."""
    queries: Mapping[str, str]
    """Text by id; only queries with at least one relevant document."""
    judgements: Mapping[str, Mapping[str, int]]
    """For each query the grade of each judged document; 1 and more is relevant."""
    part_of: Mapping[str, str] = {}
    """Which part of the corpus a query belongs to; empty where there are no parts."""
    left_out: Mapping[str, int] = {}
    """What of the source is not used, and how often."""
