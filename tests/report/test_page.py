"""The page in a browser: quiet, offline, and full of hostile text that stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("vl_convert", reason="the extra `report` is not installed")

from minionbench.records import RequestRecord
from minionbench.report import write_report
from minionbench.schema import BenchmarkRun, MetricResult
from minionbench.traces import Begun, Look, Mark, Stream
from minionbench.units import NS_PER_S
from tests.report.browser import Browser, browser
from tests.report.material import RUN_ID, candidate, cell, requests, run, sweep, with_records

EVIL = "</pre></td><script>window.owned=1</script><img src=x onerror=window.owned=2>"
LINK = "<a href='http://example.invalid/'>x</a><style>*{display:none}</style>\u202e"


def hostile_records() -> list[RequestRecord]:
    """Requests whose prompts, answers and failures try to take the page over."""
    made = []
    for one in requests([100, 120, 90, 110, 130, 95], failed=[2]):
        call = one.calls[0]
        reply = msgspec.structs.replace(call.reply, text=EVIL + LINK)
        failure = one.failure and msgspec.structs.replace(one.failure, message=EVIL)
        made.append(
            msgspec.structs.replace(
                one,
                item_id=f"{EVIL}{one.index}",
                answer=EVIL + LINK,
                failure=failure,
                calls=(msgspec.structs.replace(call, prompt=(("user", EVIL),), reply=reply),),
            )
        )
    return made


def hostile(folder: Path) -> Path:
    """A run with evil names everywhere, two candidates, records and a trace."""
    made = run(
        candidate(
            EVIL,
            cell("a.b", EVIL, status="suspect", accuracy_pct=40.0),
            cell("a.d", "decode", perplexity=MetricResult.error(EVIL)),
            engine=LINK,
        ),
        candidate(
            f"other{EVIL}",
            cell("b.b", EVIL, accuracy_pct=60.0),
            cell("b.d", "decode", total_latency_s=0.2),
        ),
        command_line=f"minionbench run {EVIL}",
        notes=(EVIL,),
    )
    second = 24 * NS_PER_S
    trace = [
        Begun(at_ns=0, utc="2026-11-21T20:11:00+00:00"),
        Stream("rss", "memory", "bytes", EVIL, "process-tree", method=LINK),
        *(Look("rss", k * NS_PER_S, 1_000_000 * k) for k in range(1, 25)),
        Mark("measured", ("a.b",), 0, NS_PER_S, second),
    ]
    records = {"a.b": hostile_records(), "b.b": requests([80] * 6)}
    return with_records(folder, made, records, trace)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reports that the tests look at."""
    folder = tmp_path_factory.mktemp("pages")
    for name, path in (
        ("hostile", hostile(folder / "hostile")),
        ("plain", with_records(folder / "plain", _plain(), {"c": requests([100.0] * 12)})),
    ):
        write_report([(path, BenchmarkRun.load(path))], folder / f"{name}.html")
    (folder / "sweep").mkdir()
    path = folder / "sweep" / f"{RUN_ID}.json"
    sweep().save(path)
    write_report([(path, sweep())], folder / "sweep.html")
    return folder


def _plain() -> BenchmarkRun:
    return run(candidate("maker/model", cell("c", accuracy_pct=50.0)))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


NAMES = ("hostile", "plain", "sweep")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_nothing_to_the_console_and_asks_nobody(
    chromium: Browser, pages: Path, name: str
) -> None:
    address = (pages / f"{name}.html").as_uri()
    chromium.open(address)
    assert chromium.complaints() == []
    assert chromium.requests() == [address]


def test_hostile_text_stays_text(chromium: Browser, pages: Path) -> None:
    chromium.open((pages / "hostile.html").as_uri())
    assert chromium.evaluate("typeof window.owned") == "undefined"
    assert chromium.evaluate("document.images.length") == 0
    assert chromium.evaluate("document.scripts.length") == 1
    assert chromium.evaluate("document.querySelectorAll('style').length") == 1
    links = "[...document.querySelectorAll('a')].every(a => a.getAttribute('href')[0] == '#')"
    assert chromium.evaluate(links) is True
    shown = chromium.evaluate("[...document.querySelectorAll('pre')].map(p => p.textContent)")
    assert EVIL in shown
    assert any(text.startswith(EVIL + "<a href='http") for text in shown)
    assert "\u202e" not in chromium.evaluate("document.documentElement.textContent")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_name_without_end_widens_no_page(chromium: Browser, tmp_path: Path, width: int) -> None:
    long = "W" * 2_000
    made = run(
        *(
            candidate(f"{long}{k}", cell(f"c{k}", long, accuracy_pct=40.0 + k, cost_usd=0.01 * k))
            for k in (1, 2)
        ),
        run_id="benchmark_20261121_201109",
        command_line=long,
    )
    path = tmp_path / "benchmark_20261121_201109.json"
    made.save(path)
    write_report([(path, made)], tmp_path / "long.html")
    chromium.open((tmp_path / "long.html").as_uri(), width=width)
    assert chromium.evaluate("document.documentElement.scrollWidth") <= width


def test_the_policy_stops_what_would_be_injected_all_the_same(
    chromium: Browser, pages: Path
) -> None:
    chromium.open((pages / "plain.html").as_uri())
    chromium.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x.png\">');"
        "var s = document.createElement('script'); s.textContent = 'window.owned = 1';"
        "document.body.append(s); var t = document.createElement('p');"
        "t.setAttribute('style', 'color: red'); document.body.append(t)"
    )
    assert chromium.evaluate("typeof window.owned") == "undefined"
    refused = " ".join(chromium.complaints())
    assert "img" in refused and "script" in refused and "style" in refused


def test_a_heading_sorts_its_table_by_mouse_and_by_keyboard(chromium: Browser, pages: Path) -> None:
    chromium.open((pages / "sweep.html").as_uri())
    find = "document.querySelectorAll('#figure-overview thead button')"
    place = chromium.evaluate(f"[...{find}].findIndex(b => b.textContent.includes('latency'))")
    column = (
        "[...document.querySelectorAll('#figure-overview tbody tr')]"
        f".map(r => r.cells[{place}].dataset.v).map(v => v === undefined ? null : +v)"
    )
    state = f"{find}[{place}].parentNode.getAttribute('aria-sort')"
    assert chromium.evaluate(state) == "none"
    chromium.evaluate(f"{find}[{place}].click()")
    values = chromium.evaluate(column)
    known = [value for value in values if value is not None]
    assert known == sorted(known)
    assert values[len(known) :] == [None] * (len(values) - len(known)), "what is absent is last"
    assert chromium.evaluate(state) == "ascending"
    chromium.evaluate(f"{find}[{place}].focus()")
    chromium.press("Enter")
    assert chromium.evaluate(state) == "descending"
    values = chromium.evaluate(column)
    assert [value for value in values if value is not None] == known[::-1]
    assert values[-1] is None


def test_every_plot_is_described_and_every_frame_can_be_reached(
    chromium: Browser, pages: Path
) -> None:
    chromium.open((pages / "hostile.html").as_uri())
    assert chromium.evaluate(
        "[...document.querySelectorAll('figure')].every(f => f.querySelector('figcaption p')"
        ".textContent.length > 20 && [...f.querySelectorAll('svg')].every("
        "s => s.getAttribute('role') == 'img' && s.getAttribute('aria-label').length > 20))"
    )
    assert chromium.evaluate(
        "[...document.querySelectorAll('.frame')].every(f => f.tabIndex == 0 && "
        "f.getAttribute('aria-label') && f.querySelector('caption').textContent)"
    )
    assert chromium.evaluate("document.documentElement.lang") == "en"
    assert chromium.evaluate("document.querySelectorAll('h1').length") == 1
    ids = chromium.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    targets = "[...document.querySelectorAll('a')].map(a => a.getAttribute('href').slice(1))"
    assert set(chromium.evaluate(targets)) <= set(ids)


def test_one_of_two_drawings_is_shown_and_the_page_is_as_wide_as_a_telephone(
    chromium: Browser, pages: Path
) -> None:
    seen = (
        "[...document.querySelectorAll('figure svg')]"
        ".filter(s => s.getBoundingClientRect().width > 0).length"
    )
    figures = "document.querySelectorAll('figure').length"
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for name in NAMES:
        for width in (1280, 360):
            chromium.open((pages / f"{name}.html").as_uri(), width=width)
            assert chromium.evaluate(seen) == chromium.evaluate(figures)
            assert chromium.evaluate(overflow) <= 0, (name, width)
    # On the telephone no letter of a plot is shrunk beyond reading.
    scale = (
        "[...document.querySelectorAll('.narrow svg')].map(s => s.getBoundingClientRect().width"
        " / s.viewBox.baseVal.width)"
    )
    assert min(chromium.evaluate(scale)) > 0.8


def test_a_dark_page_is_dark_and_its_print_is_light(chromium: Browser, pages: Path) -> None:
    chromium.open((pages / "plain.html").as_uri(), dark=True)
    paper = "getComputedStyle(document.body).backgroundColor"
    line = "getComputedStyle(document.querySelector('.wide [class*=s-blue]')).stroke"
    assert chromium.evaluate(paper) == "rgb(17, 22, 28)"
    assert chromium.evaluate(line) == "rgb(90, 180, 240)"
    chromium.ask("Emulation.setEmulatedMedia", media="print")
    assert chromium.evaluate(paper) == "rgb(255, 255, 255)"
    assert chromium.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"


def test_a_report_is_the_same_bytes_every_time(pages: Path) -> None:
    path = pages / "plain" / f"{RUN_ID}.json"
    again = pages / "again.html"
    made = write_report([(path, BenchmarkRun.load(path))], again)
    assert again.read_bytes() == (pages / "plain.html").read_bytes()
    assert made.bytes == again.stat().st_size


def test_prompts_and_answers_can_be_left_out(pages: Path) -> None:
    path = pages / "hostile" / f"{RUN_ID}.json"
    out = pages / "no-text.html"
    write_report([(path, BenchmarkRun.load(path))], out, with_text=False)
    text = out.read_text(encoding="utf-8")
    assert "<pre" not in text
    assert "Prompts and answers were left out" in text


def test_the_policy_allows_nothing_but_this_style_and_this_script(pages: Path) -> None:
    text = (pages / "plain.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert all(rules[kind].startswith("'sha256-") for kind in ("style-src", "script-src"))
    assert "unsafe" not in policy
    assert "http:" not in text.replace("http://127.0.0.1", "") and "https:" not in text
