"""Facts about the machine and the repository, and command lines without keys."""

from __future__ import annotations

import os
import select
import shlex
import string
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minionbench.system import GitFacts, git_facts, redact, redact_text, system_info
from minionbench.system.tool import ask

UNKNOWN = GitFacts(None, None, None)


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def program(folder: Path, name: str, script: str) -> None:
    """A shell script that can be called by name when `folder` is on the path."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)


# The machine


def test_this_machine_is_described() -> None:
    found = system_info(stamp_source="kernel")
    assert found.platform == os.uname().sysname
    assert found.kernel == os.uname().release
    assert found.python_version == ".".join(map(str, sys.version_info[:3]))
    assert found.cpu_count == os.cpu_count()
    assert found.total_ram_gb is not None
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert found.total_ram_gb == pytest.approx(pages / 2**30, rel=1e-6)
    assert found.stamp_source == "kernel"
    assert found.packages["msgspec"] == metadata.version("msgspec")
    assert found.packages["xllamacpp"] == metadata.version("xllamacpp")


def test_what_is_not_known_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("container", raising=False)
    found = system_info(root=tmp_path)
    assert found.gpu_info is None
    assert found.cuda_version is None
    assert found.governor is None
    assert found.virtualisation is None
    assert found.container is None
    assert found.cgroup_cpu_limit is None
    assert found.cgroup_memory_limit_gb is None
    assert found.stamp_source is None


def test_engine_packages_are_not_imported_to_learn_their_versions() -> None:
    code = (
        "import sys, minionbench.system as system\n"
        "assert system.system_info().packages['xllamacpp']\n"
        "assert 'xllamacpp' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


INTEL = "processor\t: 0\nmodel name\t: Fast  CPU (R) @ 2.00GHz\nflags\t\t: fpu vme {}\n\n"


def test_the_processor_is_named(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "proc/cpuinfo": INTEL.format("") * 2,
            "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3500000\n",
        },
    )
    name = system_info(root=root).cpu_info
    assert name is not None
    assert name.startswith("Fast CPU (R) @ 2.00GHz, ")
    assert name.endswith(", up to 3.50 GHz")


def test_an_arm_processor_is_named_by_its_numbers(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "proc/cpuinfo": "CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n",
            "proc/device-tree/model": "Some Board\0",
        },
    )
    name = system_info(root=root).cpu_info
    assert name is not None
    assert "Some Board (" in name
    assert "implementer 0x41 part 0xd0c" in name


@pytest.mark.parametrize(
    ("governors", "expected"),
    [
        (["performance"] * 2, "performance"),
        (["powersave", "performance"], "performance, powersave"),
    ],
)
def test_the_governor_is_that_of_all_processors(
    tmp_path: Path, governors: list[str], expected: str
) -> None:
    for number, governor in enumerate(governors):
        put(
            tmp_path,
            {f"sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor": f"{governor}\n"},
        )
    assert system_info(root=tmp_path).governor == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/cpuinfo": INTEL.format("hypervisor_like")}, "none"),
        ({"proc/cpuinfo": INTEL.format("hypervisor")}, "unknown hypervisor"),
        (
            {
                "proc/cpuinfo": INTEL.format("hypervisor"),
                "sys/class/dmi/id/sys_vendor": "QEMU\n",
                "sys/class/dmi/id/product_name": "Standard PC\n",
            },
            "QEMU Standard PC",
        ),
        ({"proc/cpuinfo": INTEL.format("hypervisor"), "sys/hypervisor/type": "xen\n"}, "xen"),
        ({"proc/cpuinfo": "CPU part\t: 0xd0c\n"}, None),
    ],
)
def test_virtualisation_is_what_the_processor_says(
    tmp_path: Path, files: dict[str, str], expected: str | None
) -> None:
    assert system_info(root=put(tmp_path, files)).virtualisation == expected


@pytest.mark.parametrize(
    ("files", "environ", "expected"),
    [
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({"proc/1/cgroup": "0::/kubepods/pod1\n"}, {}, "kubernetes"),
        ({"proc/1/cgroup": "0::/init.scope\n"}, {}, None),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({}, {"container": "systemd-nspawn"}, "systemd-nspawn"),
    ],
)
def test_a_container_is_recognised(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    environ: dict[str, str],
    expected: str | None,
) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "container"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert system_info(root=put(tmp_path, files)).container == expected


CGROUP = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "cpus", "memory_gb"),
    [
        (
            {
                "proc/self/cgroup": "0::/outer/inner\n",
                f"{CGROUP}/outer/cpu.max": "150000 100000\n",
                f"{CGROUP}/outer/inner/cpu.max": "max 100000\n",
                f"{CGROUP}/outer/inner/memory.max": "2147483648\n",
                f"{CGROUP}/outer/memory.max": "1073741824\n",
            },
            1.5,
            1.0,
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                f"{CGROUP}/cpu.max": "max 100000\n",
                f"{CGROUP}/memory.max": "max\n",
            },
            None,
            None,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n3:memory:/docker/abc\n",
                f"{CGROUP}/cpu/cpu.cfs_quota_us": "50000\n",
                f"{CGROUP}/cpu/cpu.cfs_period_us": "100000\n",
                f"{CGROUP}/memory/memory.limit_in_bytes": "536870912\n",
            },
            0.5,
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/\n3:memory:/\n",
                f"{CGROUP}/cpu/cpu.cfs_quota_us": "-1\n",
                f"{CGROUP}/cpu/cpu.cfs_period_us": "100000\n",
                f"{CGROUP}/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            None,
            None,
        ),
        (
            {
                "proc/self/cgroup": "0::/\n",
                f"{CGROUP}/cpu.max": "0 100000\n",
                f"{CGROUP}/memory.max": "-5\n",
            },
            None,
            None,
        ),
    ],
)
def test_limits_are_those_of_the_narrowest_control_group(
    tmp_path: Path, files: dict[str, str], cpus: float | None, memory_gb: float | None
) -> None:
    found = system_info(root=put(tmp_path, files))
    assert (found.cgroup_cpu_limit, found.cgroup_memory_limit_gb) == (cpus, memory_gb)


NVIDIA = """
case "$1" in
--query-gpu=*) for card in 'A, 9' 'A, 9' 'B, 1'; do echo "Card $card MiB, 570.1"; done ;;
*) echo '| NVIDIA-SMI 570.1    Driver Version: 570.1    CUDA Version: 12.8 |' ;;
esac
"""


@pytest.mark.parametrize(
    ("script", "gpu", "cuda"),
    [
        (NVIDIA, "2 × Card A, 9 MiB, 570.1; Card B, 1 MiB, 570.1", "12.8"),
        ("exit 9", None, None),
        ("exit 0", None, None),
    ],
)
def test_graphics_cards_are_what_their_tool_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    gpu: str | None,
    cuda: str | None,
) -> None:
    program(tmp_path, "nvidia-smi", script)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = system_info()
    assert (found.gpu_info, found.cuda_version) == (gpu, cuda)


def test_a_tool_that_hangs_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The reader of a pipe is told when the last one who could write to it is gone.
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    program(tmp_path, "hanging", f"exec 3>{tmp_path}/pipe; sleep 1000 & sleep 1000")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert ask(["hanging"], timeout_s=0.5) is None
    assert select.select([reading], [], [], 30)[0], "something that it started is alive"
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_a_tool_that_is_not_there_or_fails_says_nothing(tmp_path: Path) -> None:
    assert ask(["no-such-program-anywhere"]) is None
    assert ask(["false"]) is None
    assert ask(["echo", "words"]) == "words\n"
    assert ask(["pwd"], folder=tmp_path / "absent") is None


# The repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository on the branch `topic` without any commit."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=topic")
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path) -> str:
    (folder / "file").write_text("first")
    git(folder, "add", "file")
    git(folder, "commit", "--quiet", "--message=first")
    return git(folder, "rev-parse", "HEAD")


def test_a_clean_repository_is_known_by_its_commit(repository: Path) -> None:
    sha = commit(repository)
    inside = repository / "folder"
    inside.mkdir()
    assert git_facts(repository) == git_facts(inside) == GitFacts(sha, "topic", False)


def test_a_change_or_a_new_file_makes_a_repository_dirty(repository: Path) -> None:
    sha = commit(repository)
    (repository / "new").write_text("")
    assert git_facts(repository) == GitFacts(sha, "topic", True)
    (repository / "new").unlink()
    (repository / "file").write_text("changed")
    assert git_facts(repository) == GitFacts(sha, "topic", True)


def test_without_a_commit_or_a_branch_there_is_none(repository: Path) -> None:
    assert git_facts(repository) == GitFacts(None, "topic", False)
    sha = commit(repository)
    git(repository, "checkout", "--quiet", "--detach")
    assert git_facts(repository) == GitFacts(sha, None, False)


def test_outside_a_repository_or_without_git_nothing_is_known(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository.parent))
    outside = repository.parent / "outside"
    outside.mkdir()
    assert git_facts(outside) == UNKNOWN
    commit(repository)
    monkeypatch.setenv("PATH", str(outside))
    assert git_facts(repository) == UNKNOWN


def test_a_git_that_hangs_is_not_waited_for(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "git", "sleep 1000")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert git_facts(repository, timeout_s=0.2) == UNKNOWN


def test_a_repository_s_own_programs_are_not_run(repository: Path) -> None:
    commit(repository)
    program(repository.parent, "watcher", f"touch {repository.parent}/was-run")
    git(repository, "config", "core.fsmonitor", str(repository.parent / "watcher"))
    assert git_facts(repository).dirty is False
    assert not (repository.parent / "was-run").exists()


# Command lines without keys

SECRET = "Tr0ub4dor.and-3xyz"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["run", "--api-key", SECRET, "-n", "5"], "run --api-key … -n 5"),
        (["run", f"--api-key={SECRET}"], "run --api-key=…"),
        (["run", "--api-key-env", SECRET], "run --api-key-env …"),
        (["run", f"--openai-api-key={SECRET}"], "run --openai-api-key=…"),
        (["run", "--token", f"-{SECRET}"], "run --token …"),
        (["run", "--apiKey", SECRET, SECRET + "x"], f"run --apiKey … {SECRET}x"),
        (["run", "--header", f"Authorization: Bearer {SECRET}"], "run --header 'Authorization: …'"),
        (["run", "--header", f"X-Api-Key:{SECRET}"], "run --header 'X-Api-Key: …'"),
        (["run", f"--header=Cookie: id={SECRET}"], "run '--header=Cookie: …'"),
        (["run", "-H", f"X-Door: {SECRET}"], "run -H 'X-Door: …'"),
        (["run", f"-HX-Door: {SECRET}"], "run '-HX-Door: …'"),
        (["run", "--header", SECRET], "run --header …"),
        (["run", "--header", "Accept: text/plain"], "run --header 'Accept: text/plain'"),
        (["run", "-u", f"https://ada:{SECRET}@host:1/v1"], "run -u https://…@host:1/v1"),
        (["run", "-u", f"https://{SECRET}@host/v1"], "run -u https://…@host/v1"),
        (["run", f"--url=https://ada:{SECRET}/x@host/"], "run --url=https://…@host/"),
        (
            ["run", "-u", f"https://host/v1?api_key={SECRET}&n=1"],
            "run -u 'https://host/v1?api_key=…&n=1'",
        ),
        (["run", f"OPENAI_API_KEY={SECRET}"], "run OPENAI_API_KEY=…"),
        (
            ["run", "--extra-body", f'{{"apiKey": "{SECRET}", "n": 1}}'],
            """run --extra-body '{"apiKey": "…", "n": 1}'""",
        ),
        (["run", f"sk-proj-{SECRET}"], "run …"),
        (["run", "--input-tokens", "1200"], "run --input-tokens 1200"),
        (["run", "--output-tokens=64", "-m", "ollama/llama3.2:3b"], None),
        (["run", "-u", "http://127.0.0.1:8080/v1"], None),
        (["run", "--tokenizer", "path/to/it", "two words"], None),
        (
            ["run", "--meter-command", f"./plug.py -p {SECRET}", "-v"],
            "run --meter-command './plug.py …' -v",
        ),
        (["run", f"--meter-command=./plug.py {SECRET}"], "run '--meter-command=./plug.py …'"),
        (["run", "--meter-command", "./plug.py"], None),
    ],
)
def test_keys_are_left_out_of_a_command_line(argv: list[str], expected: str | None) -> None:
    shown = redact(argv)
    assert shown == (shlex.join(argv) if expected is None else expected)


key_letters = st.text(string.ascii_letters + string.digits, min_size=12, max_size=40)
ordinary = st.lists(st.text(max_size=10), max_size=3)


@given(ordinary, key_letters, ordinary, st.integers(0, 9))
def test_a_key_is_found_wherever_keys_stand(
    before: list[str], key: str, after: list[str], place: int
) -> None:
    assume(not any(key in argument for argument in (*before, *after)))
    # An argument before it may be a flag that takes the next one for its own value.
    assume(not any(argument.startswith("-") for argument in before))
    forms = [
        ["--api-key", key],
        [f"--api-key={key}"],
        ["--password", key],
        ["--header", f"Authorization: Bearer {key}"],
        [f"--header=X-Api-Key: {key}"],
        ["-u", f"https://user:{key}@host/v1"],
        ["-u", f"https://host/v1?x=1&access_token={key}#end"],
        [f"DEEPSEEK_API_KEY={key}"],
        [f"sk-{key}"],
        ["--extra-body", f'{{"a": {{"secret": "{key}"}}}}'],
    ]
    assert key not in redact([*before, *forms[place], *after])


@given(st.text(min_size=4), st.text(), st.text())
def test_a_known_key_is_found_anywhere(key: str, before: str, after: str) -> None:
    assume("…" not in key and key not in before + "…" + after)
    shown = redact_text(before + key + after, secrets=[key])
    assert key not in shown.replace("…", "")


def test_of_two_known_keys_the_longer_one_is_found_whole() -> None:
    assert redact_text("x abcdefgh y", secrets=["abcd", "abcdefgh"]) == "x … y"


def test_a_key_too_short_to_be_one_blots_out_nothing() -> None:
    assert redact(["run", "-n", "10"], secrets=["", "1"]) == "run -n 10"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("401: bad key sk-live-0123456789abc given", "401: bad key … given"),
        ('{"authorization": "Bearer abcdef0123"}', '{"authorization": "…"}'),
        ("Authorization: Bearer abcdef0123", "Authorization: …"),
        ("token hf_abcdefghijklmnop", "token …"),
        ("the task-force-of-ten met", "the task-force-of-ten met"),
        ("see http://host/@scope/name", "see http://host/@scope/name"),
        ("max_tokens=10&stream=true", "max_tokens=10&stream=true"),
    ],
)
def test_keys_are_left_out_of_messages(text: str, expected: str) -> None:
    assert redact_text(text) == expected


def test_bytes_that_are_no_text_become_escapes() -> None:
    shown = redact(["run", os.fsdecode(b"caf\xe9")])
    assert shown.encode() == rb"run 'caf\udce9'"


def test_a_redacted_line_is_one_that_a_shell_reads_back() -> None:
    argv = ["run", "a b", "it's", "", "$HOME", "--api-key", "abc", "ü"]
    assert shlex.split(redact(argv)) == ["run", "a b", "it's", "", "$HOME", "--api-key", "…", "ü"]
