from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minionbench.compare import turns
from tests.cli.calling import call, start
from tests.compare.runs import name_of, write_broken, write_run

DRIFTING = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)

PRINTS = """
import os, pathlib, sys
folder, first = pathlib.Path(sys.argv[1]), int(sys.argv[2])
assert os.environ["MINIONBENCH_OUTPUT_DIR"] == str(folder)
count = folder / f"count-{first}"
number = int(count.read_text()) if count.exists() else first
count.write_text(str(number + 1))
with open(folder / "order", "a") as order:
    order.write(f"{number} ")
print((folder / f"benchmark_20260101_{number:06}.json").read_text())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A program that prints one document after the other, on a machine that becomes slower."""
    (tmp_path / "prints.py").write_text(PRINTS)
    for number, drift in enumerate(DRIFTING):
        shake = 1 + 0.002 * (-1) ** number
        write_run(tmp_path, number, drift)
        write_run(tmp_path, 10 + number, drift * shake * 1.2, engine="engine 2")
        write_run(tmp_path, 20 + number, drift * shake)
    return tmp_path


def prints(folder: Path, first: int) -> str:
    return shlex.join([sys.executable, str(folder / "prints.py"), str(folder), str(first)])


def test_turns_are_taken_a_b_b_a() -> None:
    drawn = turns(seed=7)
    pairs = [next(drawn) for _ in range(40)]
    assert {frozenset(pair) for pair in pairs} == {frozenset(("base", "new"))}
    assert all(a == b[::-1] for a, b in zip(pairs[::2], pairs[1::2], strict=True))
    assert len(set(pairs[::2])) == 2  # neither side always begins
    again = turns(seed=7)
    assert pairs == [next(again) for _ in range(40)]


def test_two_commands_are_measured_in_turn_and_compared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(
        capsys,
        *("ab", "-o", str(folder), "--base", prints(folder, 0), "--new", prints(folder, 10)),
        *("--repeats", "4", "--format", "json"),
    )
    assert result.code == 1
    (one,) = json.loads(result.out)
    assert one["cells"][0]["paired"]
    assert one["cells"][0]["metrics"]["ttft_s"]["verdict"] == "worse"
    order = [int(number) for number in (folder / "order").read_text().split()]
    pairs = [set(order[at : at + 2]) for at in range(0, 8, 2)]
    assert pairs == [{n, 10 + n} for n in range(4)]
    again = next(line for line in result.err.splitlines() if "again: " in line)
    words = shlex.split(again.partition("again: minionbench ")[2])
    assert json.loads(call(capsys, *words, "--format", "json").out)[0]["cells"] == one["cells"]


def test_as_many_are_measured_as_the_power_needs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = ("--base", prints(folder, 0), "--new", prints(folder, 20))
    result = call(capsys, "ab", "-o", str(folder), *sides)
    assert result.code == 0
    assert "to find 10% with power 80% takes 2 pairs; there are 5" in result.err
    assert "5 pairs of runs" in result.out
    assert result.out.splitlines()[-1].startswith("The same")


def test_a_gross_change_ends_the_measuring(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = ("--base", prints(folder, 0), "--new", prints(folder, 10))
    result = call(capsys, "ab", "-o", str(folder), *sides)
    assert result.code == 1
    assert "5 pairs show it already" in result.err


def test_a_noisy_pair_of_sides_takes_more_up_to_a_limit(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, factor in enumerate((1.0, 1.4, 0.8, 1.3, 0.9, 1.2, 1.0, 1.3)):
        write_run(folder, 30 + number, factor)
    sides = ("--base", prints(folder, 0), "--new", prints(folder, 30), "--max-repeats", "7")
    result = call(capsys, "ab", "-o", str(folder), *sides)
    assert result.code == 1
    assert "the most is 7" in result.err
    assert "7 pairs of runs" in result.out


def test_a_side_that_cannot_serve_is_worse_and_two_are_no_setup(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (40, 50):
        write_broken(folder, number)
    result = call(
        capsys,
        *("ab", "-o", str(folder), "--base", prints(folder, 0), "--new", prints(folder, 40)),
        *("--repeats", "4"),
    )
    assert result.code == 1
    assert "the new side failed: No server answers" in result.out
    assert (folder / "order").read_text().count(" ") == 2
    (folder / "count-40").unlink()
    result = call(
        capsys,
        *("ab", "-o", str(folder), "--base", prints(folder, 50), "--new", prints(folder, 40)),
    )
    assert result.code == 3
    assert "Neither side could be measured: No server answers" in result.err


@pytest.mark.parametrize(
    ("base", "code", "message"),
    [
        ("-o elsewhere", 2, "-o cannot be given to a session"),
        ("'", 2, "cannot be read"),
        ("no-such-program", 3, "no-such-program cannot be started"),
        (f"{sys.executable} -c 'print(1)'", 2, "has to print a run document"),
        (f"{sys.executable} -c 'import sys; sys.exit(\"because\")'", 3, "because"),
        ("--no-such-flag", 2, "No such option '--no-such-flag'"),
    ],
)
def test_a_session_that_leaves_no_document_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str, code: int, message: str
) -> None:
    result = call(capsys, "ab", "-o", str(tmp_path), "--base", base, "--new", base)
    assert result.code == code
    assert message in result.err


WAITS = """
import pathlib, signal, sys
def end(*_):
    pathlib.Path(sys.argv[1], "ended").touch()
    sys.exit(130)
signal.signal(signal.SIGINT, end)
pathlib.Path(sys.argv[1], "started").touch()
while True:
    signal.pause()
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_lets_the_session_end_in_its_own_way(
    tmp_path: Path, ending: signal.Signals
) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    waits = shlex.join([sys.executable, str(tmp_path / "waits.py"), str(tmp_path)])
    process = start("ab", "-o", str(tmp_path), "--base", waits, "--new", waits)
    while not (tmp_path / "started").exists():
        assert process.poll() is None
    process.send_signal(ending)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "interrupted" in said
    assert (tmp_path / "ended").exists()


@contextmanager
def simulated(ttft_ms: float, itl_ms: float) -> Iterator[str]:
    """The address of a simulated server with these times."""
    times = ("--ttft-ms", str(ttft_ms), "--itl-ms", str(itl_ms), "--answer-tokens", "16")
    server = start("simulate", *times)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().split()[2] + "/v1"
    finally:
        server.terminate()
        server.communicate()


@pytest.mark.long
@pytest.mark.parametrize(("slower", "code"), [(1.2, 1), (1.0, 0)])
def test_a_planted_slowdown_of_a_fifth_fails_and_none_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], slower: float, code: int
) -> None:
    """Two servers, really measured. 10 % may pass, since the tests' machine is a busy one."""
    with simulated(100, 8) as base, simulated(100 * slower, 8 * slower) as new:
        result = call(
            capsys,
            *("ab", "-o", str(tmp_path), "--base", f"-u {base}", "--new", f"-u {new}"),
            *("--both", "-w decode -n 6 --repeats 1 --warmup 1", "--threshold", "10%"),
        )
    assert result.code == code, result.out + result.err
    assert ("Worse: ttft_s" in result.out) is (code == 1)


def test_a_real_session_is_a_process_that_leaves_its_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with simulated(1, 0.1) as server:
        result = call(
            capsys,
            *("ab", "-o", str(tmp_path), "--base", f"-u {server}", "--new", f"-u {server}"),
            *("--both", "-w decode -n 2 --repeats 1 --warmup 0", "--repeats", "2", "--force"),
            *("--format", "json"),
        )
    assert result.code in (0, 1)
    (one,) = json.loads(result.out)
    runs = one["base"]["runs"] + one["new"]["runs"]
    assert len(set(runs)) == 4
    assert all((tmp_path / f"{run_id}.json").is_file() for run_id in runs)
    assert one["cells"][0]["metrics"]["failed_pct"]["verdict"] == "same"
    assert name_of(0) not in runs
