"""Data sets of the hub: out of the cache, downloaded only when asked, named by their commit."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minionbench import Balanced, Decode, Prefill
from minionbench.errors import SetupError, UsageError
from minionbench.schema import BenchmarkRun
from minionbench.workloads import hub
from minionbench.workloads.catalog import workload
from minionbench.workloads.hub import KNOWN, OF_WORKLOAD, HubFile, fetch, hub_file
from tests.cli.calling import command
from tests.workloads.fake_hub import COMMIT, FakeHub, fake_hub
from tests.workloads.test_data_set import finance_line, tree

OWN = "someone/questions"


def json_lines(*lines: dict[str, Any]) -> bytes:
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def parquet(folder: Path, query: str) -> bytes:
    duckdb = pytest.importorskip("duckdb")
    path = folder / "made.parquet"
    with duckdb.connect(":memory:") as database:
        database.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    """A file of each of the seed's data sets, in its format."""
    trees = json_lines(*(tree(f"Question {number}. " * 120) for number in range(8)))
    problems = (
        "SELECT 'What is ' || i || '?' AS problem, 'Level 1' AS level, 'Algebra' AS type, "
        "'\\boxed{' || i || '}' AS solution FROM range(8) r(i)"
    )
    return {
        "financebench": json_lines(*(finance_line(number, pages=3) for number in range(12))),
        "openassistant": gzip.compress(trees),
        "math": parquet(folder, problems),
    }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A hub that the client's settings lead to, with an empty cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with fake_hub() as found:
        # As HF_ENDPOINT and HF_HOME do, which the client reads only when it is loaded.
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", found.url + template)
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        found.add(OWN, COMMIT, "some/lines.jsonl", json_lines({"prompt": "Say yes."}))
        found.branches[OWN, "main"] = COMMIT
        yield found


@pytest.fixture
def seeds(server: FakeHub, tmp_path: Path) -> FakeHub:
    """The same with the seed's data sets."""
    for name, content in contents(tmp_path).items():
        server.add(KNOWN[name].repository, KNOWN[name].revision, KNOWN[name].file, content)
    return server


@pytest.mark.parametrize(
    ("build", "format_"),
    [(Prefill, "financebench"), (Balanced, "openassistant"), (Decode, "math")],
)
def test_each_workload_has_real_data_behind_it(seeds: FakeHub, build: Any, format_: str) -> None:
    said: list[str] = []
    with pytest.raises(UsageError, match=r"not in this machine's cache .*--download"):
        build(dataset="hub", say=said.append)
    assert seeds.asked == [] and said == []
    fresh = build(dataset="hub", download=True, say=said.append)
    known = KNOWN[format_]
    assert said == [f"fetching {known.repository}/{known.file} from {seeds.url}"]
    drawn = list(fresh.requests(4, 1))
    asked = len(seeds.asked)
    assert asked > 0
    cached = build(dataset="hub")
    assert list(cached.requests(4, 1)) == drawn
    assert list(build(dataset="hub", download=True).requests(4, 1)) == drawn
    assert len(seeds.asked) == asked, "what the cache has of a commit is not asked for again"
    own, where, licence = cached.source.split(" ")
    assert own.startswith(f"{format_}@") and len(own) == len(format_) + 13
    assert where == f"hub:{known.repository}@{known.revision}/{known.file}"
    assert licence == f"licence:{known.licence}"
    assert all(request.source == cached.source for request in drawn)
    assert all(request.item_id.startswith(f"{own}/") for request in drawn)
    assert list(map(cached.request, (r.item_id for r in drawn), (1, 1, 1, 1))) == drawn


def test_a_data_set_can_be_measured_under_its_own_name(seeds: FakeHub) -> None:
    found = workload("math", dataset="hub", download=True)
    assert found.name == "math" and len(list(found.requests(8, 0))) == 8
    assert workload("financebench", dataset="hub:financebench", download=True).name == (
        "financebench"
    )
    with pytest.raises(UsageError, match="gsm8k was asked for, but the data set is math"):
        workload("gsm8k", dataset="hub:math", download=True)
    with pytest.raises(UsageError, match="No data set of the hub stands behind jsonl"):
        workload("jsonl", dataset="hub", download=True)


def test_pins_are_commits_and_every_workload_of_the_seed_has_one() -> None:
    assert set(OF_WORKLOAD.values()) <= set(KNOWN)
    for known in KNOWN.values():
        assert len(known.revision) == 40 and set(known.revision) <= set("0123456789abcdef")
        assert known.licence


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("hub", KNOWN["math"]),
        ("hub:gsm8k", KNOWN["gsm8k"]),
        ("hub:EleutherAI/hendrycks_math", KNOWN["math"]),
        ("hub:eleutherai/HENDRYCKS_math", KNOWN["math"]),
        (
            "hub:EleutherAI/hendrycks_math/algebra/test-00000-of-00001.parquet",
            KNOWN["math"]._replace(file="algebra/test-00000-of-00001.parquet"),
        ),
        ("hub:openai/gsm8k@v2", KNOWN["gsm8k"]._replace(revision="v2", licence=None)),
        ("hub:a/b/c.csv", HubFile("a/b", "main", "c.csv")),
        ("hub:a/b@v1.0/d/c.csv", HubFile("a/b", "v1.0", "d/c.csv")),
    ],
)
def test_a_data_set_is_named_in_a_few_forms(text: str, file: HubFile) -> None:
    assert hub_file(text, "decode") == file


@pytest.mark.parametrize(
    "text",
    [
        *("hub:nobody", "hub:a/b/../../etc/passwd", "hub:a/../b/c", "hub:a/b//c", "hub:a/b@/c"),
        *(
            "hub:a/b@x@y/c",
            "hub:a/b/c\n",
            "hub:/etc//passwd",
            "hub:a\\b/c/d",
            f"hub:a/{'b' * 99}/c",
        ),
    ],
)
def test_what_is_no_name_of_a_data_set_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"no data set of the hub"):
        hub_file(text, "decode")


def test_a_set_without_a_file_asks_which(server: FakeHub) -> None:
    with pytest.raises(UsageError, match=f"Which file of {OWN} is meant"):
        hub_file(f"hub:{OWN}", "jsonl")


def test_a_branch_is_recorded_as_the_commit_that_it_stood_for(server: FakeHub) -> None:
    name = f"hub:{OWN}/some/lines.jsonl"
    server.add(OWN, COMMIT, "README.md", b"---\nlicense: mit\n---\n# Questions\nlicense: other\n")
    found = workload("jsonl", dataset=name, download=True)
    expected = f"hub:{OWN}@{COMMIT}/some/lines.jsonl licence:mit"
    assert found.source.partition(" ")[2] == expected
    newer = COMMIT[::-1]
    server.add(OWN, newer, "some/lines.jsonl", json_lines({"prompt": "Say no."}))
    server.branches[OWN, "main"] = newer
    asked = len(server.asked)
    assert workload("jsonl", dataset=name).source.partition(" ")[2] == expected
    assert len(server.asked) == asked
    renewed = workload("jsonl", dataset=name, download=True)
    assert f"@{newer}/" in renewed.source
    assert renewed.source.endswith("licence:unknown"), "the new commit has no card"
    assert f"@{COMMIT}/" in workload("jsonl", dataset=f"hub:{OWN}@{COMMIT}/some/lines.jsonl").source


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("---\nlanguage: en\nlicense:\n- cc-by-4.0\n- mit\n---\n", "cc-by-4.0"),
        ("---\nlicense: ['mit']\n---\n", "mit"),
        ("---\npretty_name: x\n---\nlicense: mit\n", "unknown"),
        ("license: mit\n", "unknown"),
        ("---\ntask:\n  license: mit\n---\n", "unknown"),
        ("---\nlicense: <script>alert(1)</script>\n---\n", "unknown"),
        (f"---\nlicense: {'x' * 500}\n---\n", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_licence_is_what_the_heading_of_the_card_states(
    tmp_path: Path, card: str, licence: str
) -> None:
    path = tmp_path / "README.md"
    path.write_text(card, "utf-8")
    assert hub.stated_licence(path) == licence
    assert hub.stated_licence(tmp_path / "none") == "unknown"


def test_what_is_not_on_the_hub_is_a_wrong_name(server: FakeHub) -> None:
    for file, words in (
        (HubFile("no/body", "main", "a.jsonl"), "no data set no/body that is open to you"),
        (HubFile(OWN, "v9", "some/lines.jsonl"), "has no revision v9"),
        (HubFile(OWN, "main", "other.jsonl"), "has no file other.jsonl"),
    ):
        with pytest.raises(UsageError, match=words):
            fetch(file, download=True)
    server.gated.add(OWN)
    with pytest.raises(UsageError, match=r"accepted its conditions.*HF_TOKEN"):
        fetch(HubFile(OWN, "main", "some/lines.jsonl"), download=True)


def test_a_body_that_breaks_off_leaves_nothing_behind_that_passes_for_it(server: FakeHub) -> None:
    wanted = HubFile(OWN, COMMIT, "some/lines.jsonl", "mit")
    server.cut = True
    with pytest.raises(SetupError, match=r"cannot be fetched from http://127.0.0.1"):
        fetch(wanted, download=True)
    with pytest.raises(UsageError, match="not in this machine's cache"):
        fetch(wanted, download=False)
    server.cut = False
    assert fetch(wanted, download=True).path.read_bytes() == json_lines({"prompt": "Say yes."})


def test_a_file_of_gigabytes_is_not_fetched(server: FakeHub) -> None:
    server.claimed_size = 3 * 2**30
    with pytest.raises(UsageError, match="3,221,225,472 bytes"):
        fetch(HubFile(OWN, COMMIT, "some/lines.jsonl", "mit"), download=True)
    assert {asked.method for asked in server.asked} == {"HEAD"}


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"../../../../outside"'},
        {"ETag": '"/outside"'},
        {"X-Linked-Etag": '".."'},
        {"X-Repo-Commit": "../../../../outside"},
        {"X-Repo-Commit": "/outside"},
    ],
)
def test_no_answer_leads_out_of_the_cache(
    server: FakeHub, tmp_path: Path, headers: dict[str, str]
) -> None:
    server.more = headers
    with pytest.raises(SetupError, match=r"is not fetched .* is no plain name"):
        fetch(HubFile(OWN, "main", "some/lines.jsonl", "mit"), download=True)
    assert not [path for path in tmp_path.rglob("*") if "outside" in path.name]


def test_headers_that_the_client_does_not_understand_are_a_setup_that_failed(
    server: FakeHub,
) -> None:
    server.more = {"X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": f"{server.url}/datasets/xet"}
    with pytest.raises(SetupError, match=r"cannot be fetched from http://127.0.0.1"):
        fetch(HubFile(OWN, "main", "some/lines.jsonl", "mit"), download=True)


def test_a_token_is_shown_to_nobody_but_the_hub(
    server: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    wanted = HubFile(OWN, COMMIT, "some/lines.jsonl", "mit")
    with fake_hub() as other:
        other.files = server.files
        server.elsewhere = other.url
        assert fetch(wanted, download=True).path.read_bytes() == json_lines({"prompt": "Say yes."})
        server.elsewhere = None
        auth = f'<{other.url}/datasets/xet>; rel="xet-auth"'
        server.more = {"X-Xet-Hash": "0" * 64, "Link": auth}
        server.add(OWN, COMMIT, "more.jsonl", b"{}")
        with pytest.raises(SetupError):
            fetch(wanted._replace(file="more.jsonl"), download=True)
    assert {asked.token for asked in server.asked} == {"Bearer hf_planted"}
    assert {asked.path for asked in other.asked} == {
        f"/datasets/{OWN}/resolve/{COMMIT}/some/lines.jsonl",
        "/datasets/xet",
    }
    assert {asked.token for asked in other.asked} == {None}


def test_a_body_of_gigabytes_is_not_fetched_whatever_was_announced(server: FakeHub) -> None:
    with fake_hub() as other:
        other.files = server.files
        other.claimed_size = 3 * 2**30
        server.elsewhere = other.url
        with pytest.raises(SetupError, match="it sends 3,221,225,472 bytes"):
            fetch(HubFile(OWN, COMMIT, "some/lines.jsonl", "mit"), download=True)


def test_a_card_of_gigabytes_is_no_card(server: FakeHub) -> None:
    wanted = HubFile(OWN, COMMIT, "some/lines.jsonl")
    fetch(wanted._replace(licence="mit"), download=True)
    server.add(OWN, COMMIT, "README.md", b"---\nlicense: mit\n---\n")
    server.claimed_size = 3 * 2**30
    assert fetch(wanted, download=True).origin.endswith("licence:unknown")


def test_only_the_hubs_data_sets_are_downloaded(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(json_lines({"prompt": "Say yes."}))
    with pytest.raises(UsageError, match="Only data sets of the hub"):
        Prefill(dataset=path, download=True)
    with pytest.raises(UsageError, match="nothing to download"):
        Prefill(download=True)


def test_hostile_text_of_a_data_set_stays_text(server: FakeHub, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    hostile = f"$(touch {canary}) {{0}} %s ../../etc/passwd __import__('os') \x1b[31m"
    server.add(OWN, COMMIT, "bad.jsonl", json_lines({"prompt": hostile, "id": hostile[:9]}))
    found = workload("jsonl", dataset=f"hub:{OWN}@{COMMIT}/bad.jsonl", download=True)
    (request,) = found.requests(1, 0)
    assert request.messages[0].content == hostile
    assert not canary.exists()


# --- the command line, in a process whose environment is a user's


def environment(server: FakeHub, folder: Path, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(folder / "hf"),
        "MILTON_STATE_DIR": str(folder / "state"),
        **more,
    }


def dry_run(server: FakeHub, folder: Path, *flags: str, **more: str) -> Any:
    return subprocess.run(
        command("run", "--dry-run", "-n", "2", *flags),
        env=environment(server, folder, **more),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_downloads_once_and_is_offline_ever_after(
    seeds: FakeHub, tmp_path: Path
) -> None:
    refused = dry_run(seeds, tmp_path, "--dataset", "hub")
    assert refused.returncode == 2
    assert "--download" in refused.stderr and "cc-by-nc-4.0" in refused.stderr
    offline = dry_run(seeds, tmp_path, "--dataset", "hub", "--download", HF_HUB_OFFLINE="1")
    assert offline.returncode == 2 and "HF_HUB_OFFLINE is set" in offline.stderr
    assert seeds.asked == []
    done = dry_run(seeds, tmp_path, "--dataset", "hub", "--download")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("minionbench: fetching ") == 3
    asked = len(seeds.asked)
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):
        again = dry_run(seeds, tmp_path, "--dataset", "hub", **more)
        assert again.returncode == 0, again.stderr
        assert "fetching" not in again.stderr
    assert len(seeds.asked) == asked
    documents = sorted((tmp_path / "state").rglob("benchmark_*.json"))
    assert len(documents) == 3
    notes = "\n".join(BenchmarkRun.load(documents[-1]).metadata.notes or ())
    assert "prefill: 2 items" in notes and "decode: 2 items" in notes


def test_a_hub_that_is_broken_or_not_there_is_a_setup_that_failed(
    server: FakeHub, tmp_path: Path
) -> None:
    server.broken = 418
    flags = ("-w", "decode", "--dataset", f"hub:{OWN}/some/lines.jsonl", "--download")
    secret = server.url.replace("http://", "http://me:hunter2@")
    failed = dry_run(server, tmp_path, *flags, HF_ENDPOINT=secret)
    assert failed.returncode == 3
    assert "cannot be fetched from http://127.0.0.1" in failed.stderr
    assert "bring a copy with --dataset PATH" in failed.stderr
    assert "hunter2" not in failed.stdout + failed.stderr


def test_without_the_extra_a_user_is_told_what_to_install(server: FakeHub, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    (shadow / "huggingface_hub").mkdir(parents=True)
    (shadow / "huggingface_hub" / "__init__.py").write_text("raise ImportError('not there')\n")
    done = dry_run(server, tmp_path, "-w", "decode", "--dataset", "hub", PYTHONPATH=str(shadow))
    assert done.returncode == 3
    assert "pip install 'minionbench[hub]'" in done.stderr


def test_a_cache_that_somebody_else_filled_serves_without_any_hub(tmp_path: Path) -> None:
    known = KNOWN["financebench"]
    folder = tmp_path / "hf" / "hub" / f"datasets--{known.repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / known.revision
    snapshot.mkdir(parents=True)
    lines = json_lines(*(finance_line(number, pages=3) for number in range(12)))
    (snapshot / known.file).write_bytes(lines)
    nowhere = FakeHub("http://127.0.0.1:9")
    done = dry_run(nowhere, tmp_path, "-w", "prefill", "--dataset", "hub")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder)
    assert dry_run(nowhere, tmp_path, "-w", "prefill", "--dataset", "hub").returncode == 2


def test_help_does_not_load_the_hubs_client() -> None:
    code = (
        "import sys; from minionbench.workloads import catalog; "
        "sys.exit(any(name in sys.modules for name in ('huggingface_hub', 'duckdb')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
