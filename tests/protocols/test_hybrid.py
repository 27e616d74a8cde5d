"""A local and a remote model together: how they are named, and what each protocol takes."""

from __future__ import annotations

import pytest

import minionbench
from minionbench import Hybrid, Local, OpenAI, Protocols, Remote
from minionbench.errors import UsageError
from minionbench.exchange import Answer, Call, Plan, Request
from minionbench.protocols.catalog import protocol_name, told
from minionbench.protocols.chunking import Chunking
from minionbench.protocols.minions import MinionS
from tests.protocols.driving import drive, request, said


class Own:
    """Asks the remote side once."""

    def plan(self, request: Request) -> Plan:
        (reply,) = yield (Call(side="remote", messages=request.messages, limits=request.limits),)
        return Answer(text=reply.text, call=0)


def test_each_side_is_a_name_or_a_deployment_with_its_url() -> None:
    named = Hybrid("ollama/llama3.2", "openai/gpt-5.5")
    assert (named.local.model, named.remote.model) == ("ollama/llama3.2", "openai/gpt-5.5")
    given = Hybrid(Local("small", url="http://127.0.0.1:1"), Remote("large"), remote_url="http://h")
    assert (given.local.url, given.remote.url) == ("http://127.0.0.1:1", "http://h")
    model = OpenAI("gpt-5.5", dialect="responses")
    by_class = Hybrid("ollama/llama3.2", model)
    assert by_class.remote.model == "openai/gpt-5.5"
    assert by_class.remote_named is model


def test_a_url_alone_names_a_server_whose_model_is_found_there() -> None:
    both = Hybrid(url="http://127.0.0.1:1", remote_url="http://127.0.0.1:2")
    assert (both.local.model, both.remote.model) == (None, None)
    assert Hybrid().local.model == "reference/q8_0"


def test_a_url_is_not_given_twice() -> None:
    with pytest.raises(UsageError, match="local server's URL"):
        Hybrid(Local("m", url="http://a"), "openai/x", url="http://b")
    with pytest.raises(UsageError, match="remote server's URL"):
        Hybrid("m", Remote("x", url="http://a"), remote_url="http://b")


def test_settings_go_to_the_protocol_and_stand_in_the_document() -> None:
    hybrid = Hybrid("a", "b", protocol="minions", samples=3, chunking=Chunking("page", 500))
    assert isinstance(hybrid.follows, MinionS)
    assert hybrid.prepares and not hybrid.asks_once
    assert hybrid.settings["samples"] == 3
    assert hybrid.settings["chunking"] == {"by": "page", "size": 500, "overlap": 0}
    assert protocol_name(hybrid) == "minions"
    assert told(hybrid) == hybrid.settings
    assert told(Local()) is None and protocol_name(Local()) is None
    assert not Hybrid("a", "b").prepares


@pytest.mark.parametrize(
    ("protocol", "settings", "said_"),
    [
        ("minions", {"colour": 1}, "no setting colour of minions"),
        ("minion", {"samples": 2}, "no setting samples of minion; there are max_rounds"),
        ("gossip", {}, "no hybrid protocol 'gossip'; there are minion, minions"),
        ("minion", {"max_rounds": 0}, "from 1 to"),
        (Own(), {"max_rounds": 1}, "its settings already"),
    ],
)
def test_what_a_protocol_does_not_take_is_refused(
    protocol: str, settings: dict[str, int], said_: str
) -> None:
    with pytest.raises(UsageError, match=said_):
        Hybrid("a", "b", protocol, **settings)


def test_a_protocol_of_ones_own_is_an_object() -> None:
    hybrid = Hybrid("a", "b", protocol=Own())
    assert hybrid.settings == {"protocol": "Own"}
    answer, _ = drive(hybrid.plan(request()), lambda call: said("x"), lambda call: said("7"))
    assert answer.text == "7"


def test_protocols_beside_each_other_take_what_they_know_of_the_settings() -> None:
    both = Protocols("a", "b", ("rag", "local", "minion", "minions"), max_rounds=2, samples=4, k=3)
    rag, local, minion, minions = both.members
    assert local is both.local
    assert [protocol_name(member) for member in both.members] == ["rag", None, "minion", "minions"]
    assert told(rag)["k"] == 3  # type: ignore[index]
    assert told(minion)["max_rounds"] == told(minions)["max_rounds"] == 2  # type: ignore[index]
    assert told(minions)["samples"] == 4  # type: ignore[index]
    assert len(Protocols("a", "b").members) == 5


@pytest.mark.parametrize(
    ("names", "settings", "said_"),
    [
        ((), {}, "No protocol is named"),
        (("minion", "minion"), {}, "named twice"),
        (("gossip",), {}, "no protocol 'gossip'; there are local, remote, minion, minions, rag"),
        (("local", "minion"), {"k": 3}, "no setting k of local, minion"),
        (("local",), {"k": 3}, "there is none"),
    ],
)
def test_protocols_that_make_no_table_are_refused(
    names: tuple[str, ...], settings: dict[str, int], said_: str
) -> None:
    with pytest.raises(UsageError, match=said_):
        Protocols("a", "b", names, **settings)


def test_both_names_are_the_packages_own() -> None:
    assert {"Hybrid", "Protocols"} <= set(minionbench.__all__)


def test_context_is_asked_for_as_the_protocol_needs_it() -> None:
    long = request(document="x" * 300_000)
    minions = MinionS(chunking=Chunking("characters", 1_000))
    needed, useful = minions.context_tokens("local", long)
    assert 400 + 256 < needed < useful < 4_096
    assert minions.likely_calls(long) == 4 + 300
    assert MinionS(preselect=5, samples=2).likely_calls(long) == 4 + 10
