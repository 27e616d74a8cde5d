"""`minionbench doctor`: what this machine offers, what it lacks, and what to do about it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from minionbench.cli.metering_options import metering_options, power_settings
from minionbench.cli.text import printable

if TYPE_CHECKING:
    from minionbench.meters.power.meter import PowerSettings

TOOLS = (
    ("ollama", "runs models on this machine: https://ollama.com/download"),
    ("nvidia-smi", "says what an NVIDIA card does; comes with the card's driver"),
    ("git", "lets a run name the commit that it measured: apt-get install -y git"),
    ("gcc", "builds the harness's own benchmarks: apt-get install -y gcc libc6-dev"),
)
MODELS_SHOWN = 10
"""Names of models in one line."""
BUSY_SHARE = 0.25
"""Load average per core above which other programs are likely to disturb a measurement."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    group: str
    name: str
    state: Literal["ok", "note", "missing"]
    """ok; a note, which a run survives; missing, without which `minionbench run` fails."""
    found: str
    advice: str | None = None
    """What to do about it; None where there is nothing to do."""


MARKS = {"ok": "ok", "note": "note", "missing": "MISSING"}


@click.command(name="doctor")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    help="table for people, json for programs.",
)
@click.option("-u", "--url", "urls", multiple=True, metavar="URL", help="Look at a server too.")
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds its key.")
@metering_options
def command(form: str, urls: tuple[str, ...], api_key_env: str | None, **meters: Any) -> int:
    """Say what this machine offers and what it lacks.

    Leaves with 1 when something is missing without which `minionbench run` cannot work, or when a
    server or a meter that was named does not answer.
    """
    wanted = power_settings(**meters)
    findings = [*examine(), *power_meters(wanted)]
    for url in urls:
        findings.extend(server_at(url, api_key_env))
    if form == "json":
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        click.echo("\n".join(lines(findings)))
    return 1 if any(finding.state == "missing" for finding in findings) else 0


def lines(findings: list[Finding]) -> Iterator[str]:
    """The findings as aligned text: a heading per group, advice below what needs it."""
    name_width = max(len(finding.name) for finding in findings)
    group = None
    for finding in findings:
        if finding.group != group:
            if group is not None:
                yield ""
            group = finding.group
            yield group
        found = printable(finding.found)
        yield f"  {MARKS[finding.state]:<8}{finding.name:<{name_width}}  {found}"
        if finding.advice:
            yield f"          → {finding.advice}"


def examine() -> Iterator[Finding]:
    """Looks at everything, most needed first."""
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        needed,
        machine,
        servers,
        keys,
        proxies,
        tools,
    )
    for look in looks:
        yield from look()


def needed() -> Iterator[Finding]:
    """What `minionbench run` with no flags needs."""
    group = "Needed for `minionbench run`"
    yield Finding(group, "Python", "ok", f"{platform.python_version()} at {sys.executable}")
    yield embedded_engine(group)
    yield reference_model(group)
    yield state_directory(group)


def embedded_engine(group: str) -> Finding:
    """Loads the embedded engine in a process of its own, which may crash without harm."""
    name = "embedded engine"
    code = "import xllamacpp, importlib.metadata as m; print(m.version('xllamacpp'))"
    trial = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    if trial.returncode == 0:
        return Finding(group, name, "ok", f"xllamacpp {trial.stdout.strip()}")
    last = (trial.stderr.strip().splitlines() or [""])[-1]
    if trial.returncode < 0:
        ended = signal.Signals(-trial.returncode).name
        advice = "this processor may lack instructions that the engine was built for"
        return Finding(group, name, "missing", f"xllamacpp died with {ended} when loaded", advice)
    if "libgomp" in last:
        advice = "apt-get install -y libgomp1"
    else:
        advice = "install the locked packages again: make clean run"
    return Finding(group, name, "missing", last, advice)


def reference_model(group: str) -> Finding:
    """Looks for the model that comes with the program."""
    from minionbench.engines.catalog import ModelSpec

    file = ModelSpec.parse("reference/q8_0").file
    assert file is not None
    if file.is_file():
        return Finding(group, "reference model", "ok", str(file))
    advice = "install minionbench again"
    return Finding(group, "reference model", "missing", f"{file} is not there", advice)


def state_directory(group: str) -> Finding:
    """Writes a file where runs are kept, and removes it."""
    from minionbench.store import runs_dir

    folder = runs_dir(None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            free_gb = shutil.disk_usage(folder).free / 2**30
    except OSError as error:
        advice = "choose another folder with --output-dir, or set MILTON_STATE_DIR"
        return Finding(group, "folder of runs", "missing", f"{folder}: {error.strerror}", advice)
    return Finding(group, "folder of runs", "ok", f"{folder} ({free_gb:.1f} GB free)")


def machine() -> Iterator[Finding]:
    """What decides how exact a measurement on this machine can be."""
    group = "This machine"
    yield arrival_stamps(group)
    yield from processor(group)
    yield gpu_memory(group)


def arrival_stamps(group: str) -> Finding:
    """Sends bytes over a loopback connection and looks whether the kernel stamped them."""
    stamped, reads = stamped_reads()
    if stamped == reads:
        return Finding(group, "arrival stamps", "ok", "the kernel's own (SO_TIMESTAMPNS)")
    advice = "runs work, and say that arrival was stamped after the read, in this program"
    found = f"the kernel stamped {stamped} of {reads} reads"
    return Finding(group, "arrival stamps", "note", found, advice)


def stamped_reads(reads: int = 5) -> tuple[int, int]:
    """(reads that the kernel stamped, reads) of a connection over loopback.

    The first read after stamping was switched on somewhere on the host may come without a
    stamp, so one more is made and left out.
    """
    import select

    from minionbench.transport.stream import Address, Stream

    stamped = 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()[:2]
        with closing(Stream(Address(socket.AF_INET, (host, port)))) as stream:
            peer, _ = listener.accept()
            with peer:
                for i in range(reads + 1):
                    peer.sendall(b"x")
                    select.select([stream.fd], [], [], 5)
                    _, stamp, _ = stream.receive()
                    stamped += i > 0 and stamp is not None
    return stamped, reads


def processor(group: str) -> Iterator[Finding]:
    """Cores, their governor, the machine's other work, and whether it is a virtual one."""
    from minionbench.system import system_info

    info = system_info()
    yield Finding(group, "processor", "ok", info.cpu_info or "not known")
    cores = info.usable_cpus or info.cpu_count
    if cores is not None:
        few = cores == 1
        advice = "engine and harness share it, and disturb each other" if few else None
        yield Finding(group, "usable cores", "note" if few else "ok", str(cores), advice)
    if info.cgroup_cpu_limit is not None:
        advice = "a limit pauses the engine in mid-answer: whole cores (cpuset) do not"
        found = f"as much as {info.cgroup_cpu_limit:g} of a core's time"
        yield Finding(group, "limit of time", "note", found, advice)
    if info.load_average_1m is not None and cores is not None:
        busy = info.load_average_1m > BUSY_SHARE * cores
        advice = "other programs disturb a measurement: end them first" if busy else None
        found = f"{info.load_average_1m:.2f}"
        yield Finding(group, "load", "note" if busy else "ok", found, advice)
    if info.total_ram_gb is not None:
        yield Finding(group, "memory", "ok", f"{info.total_ram_gb:.1f} GB")
    if info.governor not in (None, "performance"):
        advice = "for steadier figures: cpupower frequency-set -g performance"
        yield Finding(group, "governor", "note", str(info.governor), advice)
    if info.virtualisation not in (None, "none"):
        advice = "neighbours on the host may disturb a measurement: repeat it"
        yield Finding(group, "virtual machine", "note", str(info.virtualisation), advice)
    yield Finding(group, "GPU", "ok" if info.gpu_info else "note", info.gpu_info or "none found")


def gpu_memory(group: str) -> Finding:
    """Asks the NVIDIA driver for its GPUs, as `peak_vram_mb` does."""
    from minionbench.meters.nvml import NOT_INSTALLED, gpus
    from minionbench.units import BYTES_PER_MB

    name = "GPU memory"
    found = gpus()
    if found.reason == NOT_INSTALLED:
        advice = "pip install nvidia-ml-py"
        return Finding(group, name, "note", "nvidia-ml-py, which reads it, is missing", advice)
    if found.reason is not None:
        return Finding(group, name, "note", f"not read: {found.reason}")
    listed = ", ".join(
        gpu.name
        if gpu.total_bytes is None
        else f"{gpu.name} with {gpu.total_bytes / BYTES_PER_MB:,.0f} MB"
        for gpu in found.devices
    )
    return Finding(group, name, "ok", f"{listed}; driver {found.driver}")


def power_meters(wanted: PowerSettings) -> Iterator[Finding]:
    """Opens each kind of meter of power, looks at it once, and closes it."""
    import msgspec

    from minionbench.errors import MeterError
    from minionbench.meters.power.catalog import close_all, find_meters

    group = "Meters of power"
    try:
        meters = find_meters(wanted)
    except MeterError as error:
        yield Finding(group, "at the wall", "missing", str(error))
        # The others are there whatever became of that one.
        yield from power_meters(msgspec.structs.replace(wanted, command=None, file=None))
        return
    try:
        for one in meters:
            if one.meter is None:
                yield Finding(group, one.name, "note", one.reason or "", one.remedy)
                continue
            unread = [
                f"{look.stream_id}: {look.why}" for look in one.meter.look() if look.value is None
            ]
            state: Literal["ok", "note"] = "note" if unread else "ok"
            found = f"{one.status}, {one.resolution}" if one.resolution else one.status
            yield Finding(group, one.name, state, "; ".join([found, *unread]), one.note)
    finally:
        close_all(meters)
    if not any(one.meter for one in meters):
        advice = "a meter at the wall: --meter-command; a modelled figure: --tdp (docs/energy.md)"
        yield Finding(group, "energy", "note", "not measured on this machine", advice)


def hugging_face_server() -> Finding:
    """Looks for a server that `minionbench autobench` can start for safetensors."""
    from minionbench.engines.hugging_face import INSTALL, installed_server

    group, name = "Tools", "safetensors"
    server = installed_server()
    if server is None:
        return Finding(group, name, "note", "no engine for them in autobench", INSTALL)
    lacking = server.lacking
    if lacking:
        advice = f"install {' '.join(lacking)} beside it"
        return Finding(group, name, "note", f"{server.executable} is not whole", advice)
    return Finding(group, name, "ok", f"{server.name} at {server.executable}")


def servers() -> Iterator[Finding]:
    """Servers on this machine that a run can be pointed at."""
    from minionbench.engines.foreign import listed
    from minionbench.engines.ollama_server import installed_models, ollama_address
    from minionbench.errors import MinionbenchError
    from minionbench.units import BYTES_PER_MB

    group = "Servers"
    try:
        address = ollama_address(os.environ)
        version, models = installed_models(os.environ)
    except MinionbenchError as error:
        # What to do is in the error's own words.
        advice = "only for -m ollama/…"
        yield Finding(group, "Ollama", "note", str(error), advice)
        return
    yield Finding(group, "Ollama", "ok", f"{version} at {address}")
    sized = [
        name if size is None else f"{name} ({size / BYTES_PER_MB:,.0f} MB)"
        for name, size in models.items()
    ]
    if sized:
        yield Finding(group, "Ollama's models", "ok", listed(sized, MODELS_SHOWN))
    else:
        advice = "get one, as with `ollama pull llama3.2`"
        yield Finding(group, "Ollama's models", "note", "none", advice)


def server_at(url: str, key_variable: str | None) -> Iterator[Finding]:
    """What a server given by its URL is, and what a run would do with it."""
    from minionbench.engines.attach import describe
    from minionbench.engines.engine import EngineSettings
    from minionbench.engines.foreign import listed
    from minionbench.engines.server_kind import TABLE_DATE
    from minionbench.errors import MinionbenchError
    from minionbench.system import redact_text

    group = f"The server at {redact_text(url)}"
    try:
        found = describe(url, EngineSettings(api_key_env=key_variable))
    except MinionbenchError as error:
        yield Finding(group, "answers", "missing", str(error))
        return
    kind = found.kind
    version = "" if found.version is None else f" {found.version}"
    yield Finding(group, "answers", "ok", f"{kind.label}{version}, at {found.base_url}")
    if found.models is None:
        yield Finding(group, "models", "note", "it does not list them", "name one with -m")
    elif not found.models:
        yield Finding(group, "models", "note", "none", "have it load one")
    else:
        yield Finding(group, "models", "ok", listed(found.models, MODELS_SHOWN))
    yield Finding(group, "prefix cache", "ok", f"kept cold by {found.cold_by}")
    forced = "goes on past the end of a text" if kind.manners.ignores_end else "ends by itself"
    yield Finding(group, "forced length", "ok" if kind.manners.ignores_end else "note", forced)
    if found.has_metrics:
        yield Finding(group, "metrics", "ok", "its own figures will stand beside ours")
    else:
        yield Finding(group, "metrics", "note", "it gives no figures of its own")
    yield Finding(group, "table of servers", "ok", f"of {TABLE_DATE}")


def keys() -> Iterator[Finding]:
    """Providers of remote models: where each is, where its key would come from, and whether it is
    there; never what it is. Nobody is asked."""
    from minionbench.engines.keys import KeyReference, is_there
    from minionbench.engines.providers import providers
    from minionbench.errors import MinionbenchError
    from minionbench.system import redact_text

    group = "Remote providers"
    try:
        table = providers()
        references = {
            name: KeyReference.of_variable(info.key_variable)
            for name, info in table.by_name.items()
        }
    except MinionbenchError as error:
        yield Finding(group, "table", "note", str(error), "correct the file, or remove it")
        return
    for name, info in table.by_name.items():
        variable = info.key_variable
        there = is_there(references[name])
        found = f"{variable} is {'set' if there else 'not set'}; {redact_text(info.url())}"
        advice = None if there else f"only for -m {name}/NAME: export {variable}=…, or --key-from"
        yield Finding(group, name, "ok" if there else "note", found, advice)
    whence = "" if table.own_file is None else f", changed by {table.own_file}"
    yield Finding(group, "table", "ok", f"of {table.date}{whence}")


def proxies() -> Iterator[Finding]:
    """The proxies that the environment names for servers elsewhere; user names and passwords are
    not shown, and nobody is asked."""
    from minionbench.errors import MinionbenchError
    from minionbench.system import redact_text
    from minionbench.system.redaction import HIDDEN
    from minionbench.transport.proxy import direct_hosts, named_proxy

    group = "Proxies"
    schemes: tuple[Literal["http", "https"], ...] = ("https", "http")
    none = True
    for scheme in schemes:
        try:
            proxy = named_proxy(scheme, os.environ)
        except MinionbenchError as error:
            none = False
            yield Finding(group, f"for {scheme}://", "note", str(error), "or unset it")
            continue
        if proxy is not None:
            none = False
            user = "" if proxy.credentials is None else f"{HIDDEN}@"
            place = f"{'https' if proxy.url.tls else 'http'}://{user}{proxy.url.authority}"
            found = f"{place}, by {proxy.variable}"
            yield Finding(group, f"for {scheme}://", "ok", found)
    if none:
        yield Finding(group, "proxy", "ok", "none: servers elsewhere are reached directly")
        return
    variable, hosts = direct_hosts(os.environ)
    direct = "this machine"
    if hosts and hosts.strip():
        direct += f", and what {variable} names: {redact_text(hosts)}"
    yield Finding(group, "without a proxy", "ok", direct)


def tools() -> Iterator[Finding]:
    """Programs that some commands make use of."""
    for name, purpose in TOOLS:
        path = shutil.which(name)
        if path:
            yield Finding("Tools", name, "ok", path)
        else:
            yield Finding("Tools", name, "note", "not there", purpose)
    yield hugging_face_server()
