"""Meters at the wall: real programs that print watts, die, say nonsense, or fall silent."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from minionbench.clock import monotonic_ns, sleep_s
from minionbench.errors import MeterError
from minionbench.meters.power import wall
from minionbench.meters.power.meter import Meter, PowerSettings
from minionbench.traces import Look

READY = "import sys, time, json; out = sys.stdout; print(json.dumps({'watts': 40}), flush=True)\n"


def command(tmp_path: Path, code: str) -> str:
    path = tmp_path / "meter.py"
    path.write_text(code)
    return shlex.join([sys.executable, str(path)])


def opened(tmp_path: Path, code: str) -> Meter:
    (found,) = wall.find(PowerSettings(command=command(tmp_path, code)))
    assert found.status == "measured"
    assert found.meter is not None
    return found.meter


def until(meter: Meter, enough: Callable[[list[Look]], bool]) -> list[Look]:
    """Looks until there is enough, for ten seconds at most."""
    looks: list[Look] = []
    end = monotonic_ns() + 10**10
    while monotonic_ns() < end:
        looks.extend(meter.look())
        if enough(looks):
            return looks
        sleep_s(0.01)
    raise AssertionError(f"not enough: {looks}")


def test_watts_are_taken_as_they_come_with_the_instants_at_which_they_come(tmp_path: Path) -> None:
    code = READY + (
        "for i in range(1, 1000):\n"
        "    print(json.dumps({'volts': 230, 'watts': 40 + i / 10}), flush=True); time.sleep(.02)\n"
    )
    meter = opened(tmp_path, code)
    looks = until(meter, lambda seen: len(seen) >= 8)
    values = [look.value for look in looks]
    # The first reading only shows that the meter works; the others follow one another.
    begin = values[0]
    assert begin is not None
    assert values == [begin + 100 * i for i in range(len(values))]
    instants = [look.at_ns for look in looks]
    assert instants == sorted(instants)
    assert len(set(instants)) > 4
    meter.close()
    meter.close()
    assert meter.look() == ()


def test_a_line_that_is_no_reading_is_never_a_number(tmp_path: Path) -> None:
    bad = ['nonsense', '{"watts": "40"}', '{"watts": null}', '{"watts": 0}', '{"watts": -3}',
           '{"watts": 1e999}', '{}', '[40]', '41', '{"watts": true}', "x" * 9_000]  # fmt: skip
    meter = opened(
        tmp_path, READY + f"for line in {bad!r}: print(line, flush=True)\ntime.sleep(60)\n"
    )
    looks = until(meter, lambda seen: len(seen) >= len(bad))
    assert all(look.value is None for look in looks)
    assert all("no reading" in str(look.why) or "no power" in str(look.why) for look in looks)
    assert max(len(str(look.why)) for look in looks) < 300
    meter.close()


def test_what_a_line_held_is_told_to_whoever_opens_the_meter_and_never_kept(
    tmp_path: Path,
) -> None:
    meter = opened(tmp_path, READY + "print('hello hunter2', flush=True)\ntime.sleep(60)\n")
    (look,) = until(meter, lambda seen: len(seen) == 1)
    assert look.why == 'a line is no reading (lines like {"watts": 87.3})'
    meter.close()
    with pytest.raises(MeterError, match="hello hunter2"):
        opened(tmp_path, "print('hello hunter2', flush=True)\n")


def test_a_meter_that_tells_milliwatts_is_refused_before_anything_is_measured(
    tmp_path: Path,
) -> None:
    with pytest.raises(MeterError, match="tells 87,300 W, which is no power of a machine"):
        opened(tmp_path, "print('{\"watts\": 87300}', flush=True)\n")


def test_of_lines_that_were_kept_back_the_last_one_counts(tmp_path: Path) -> None:
    late = r"""'{"watts": 41}\n{"watts": 42}\n{"watts": 43}\n'"""
    code = READY + f"out.write({late}); out.flush(); time.sleep(60)\n"
    meter = opened(tmp_path, code)
    first, second, last = until(meter, lambda seen: len(seen) > 2)
    assert first.why == second.why == wall.KEPT_BACK
    assert last.value == 43_000
    meter.close()


def test_a_program_that_dies_says_how_and_what_its_last_words_were(tmp_path: Path) -> None:
    meter = opened(tmp_path, READY + "time.sleep(.05); sys.exit('the socket is gone')\n")
    looks = until(meter, lambda seen: any(look.value is None for look in seen))
    (told,) = [look for look in looks if look.value is None]
    assert told.why == "its command ended with exit code 1: the socket is gone"
    # It is told once a second, not at every look.
    assert meter.look() == ()
    meter.close()


def test_a_silent_program_is_told_to_be_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wall, "SILENCE_NS", 30_000_000)
    meter = opened(tmp_path, READY + "time.sleep(60)\n")
    (look,) = until(meter, lambda seen: len(seen) == 1)
    assert look.value is None
    assert "has been silent for" in str(look.why)
    meter.close()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('hello', flush=True)", "exit code 0; a line is no reading"),
        ("import sys; sys.exit('no such meter')", "exit code 1: no such meter"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        ("import time; time.sleep(60)", "gave no reading within"),
        ("import time; print('hm', flush=True); time.sleep(60)", "no reading .*hm"),
    ],
)
def test_a_program_that_gives_no_first_reading_ends_the_run_before_it_begins(
    tmp_path: Path, code: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wall, "FIRST_READING_NS", 2_000_000_000)
    with pytest.raises(MeterError, match=said):
        wall.find(PowerSettings(command=command(tmp_path, code)))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("/nowhere/meter --fast", "cannot be started: No such file"),
        ("'", "is no command"),
        ("   ", "names no program"),
        ("cat plug | jq .", 'give it to one, as --meter-command "sh -c'),
    ],
)
def test_what_is_no_command_is_said_to_be_none(given: str, said: str) -> None:
    with pytest.raises(MeterError, match=said):
        wall.find(PowerSettings(command=given))


def test_the_program_and_what_it_started_end_with_the_meter(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, json, os, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "print(json.dumps({'watts': 1}), flush=True); time.sleep(600)\n"
    )
    meter = opened(tmp_path, code)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(is_alive(pid) for pid in pids)
    meter.close()
    end = monotonic_ns() + 10**10
    while any(map(is_alive, pids)) and monotonic_ns() < end:
        sleep_s(0.01)
    assert not any(map(is_alive, pids))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # One that nobody reaps has ended all the same.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_its_arguments_are_not_told_since_they_may_hold_a_password(tmp_path: Path) -> None:
    code = command(tmp_path, "import sys; sys.exit(1)") + " --password hunter2"
    with pytest.raises(MeterError) as failed:
        wall.find(PowerSettings(command=code))
    assert "hunter2" not in str(failed.value)


def test_a_file_is_read_from_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "watts.jsonl"
    path.write_text('{"watts": 999}\n')
    meter = wall.FileMeter(path)

    def append(text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    assert meter.look() == ()
    append('{"watts": 50}\n{"watts": 51}\n{"wat')
    (look,) = meter.look()
    assert look.value == 51_000
    append('ts": 52.5}\n')
    (look,) = meter.look()
    assert look.value == 52_500
    append("oops\n")
    (look,) = meter.look()
    assert look.value is None
    assert "no reading" in str(look.why)
    meter.close()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda path: path.unlink(), "its file is gone: No such file or directory"),
        (lambda path: path.rename(path.with_suffix(".1")), "its file is gone"),
        (lambda path: rotated(path), "its file was replaced by another one"),
        (lambda path: path.write_text(""), "its file was cut off"),
    ],
)
def test_a_file_that_is_taken_away_or_rotated_says_so(
    what: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "watts.jsonl"
    path.write_text('{"watts": 40}\n')
    meter = wall.FileMeter(path)
    assert meter.look() == ()
    what(path)
    (look,) = meter.look()
    assert look.value is None and said in str(look.why)
    meter.close()


def rotated(path: Path) -> None:
    path.rename(path.with_suffix(".1"))
    path.write_text('{"watts": 41}\n')


def test_a_file_that_nobody_writes_to_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wall, "FIRST_READING_NS", 50_000_000)
    path = tmp_path / "watts.jsonl"
    path.write_text('{"watts": 999}\n')
    with pytest.raises(MeterError, match=r"the file watts\.jsonl.*gave no reading"):
        wall.find(PowerSettings(file=path))
    with pytest.raises(MeterError, match="Start the program that writes it first"):
        wall.find(PowerSettings(file=tmp_path / "nowhere"))


def test_without_a_wish_there_is_no_meter_at_the_wall() -> None:
    assert wall.find(PowerSettings()) == ()
    assert json.loads('{"watts": 87.3}') == {"watts": 87.3}
