"""The machine that a run is made on, as far as it can be found out."""

from __future__ import annotations

import os
import platform
import re
import socket
from collections import Counter
from importlib import metadata
from pathlib import Path

from minionbench.schema import SystemInfo
from minionbench.system.tool import ask
from minionbench.units import BYTES_PER_GB, number_of

PACKAGES = ("xllamacpp", "msgspec", "psutil")
"""Packages that serve a model or take part in measuring it."""

_UNLIMITED_BYTES = 1 << 60
"""What the first version of control groups says for "no limit" is a number near 2⁶³."""


def system_info(stamp_source: str | None = None, root: Path = Path("/")) -> SystemInfo:
    """What is known of this machine at this moment; what is not is None.

    `stamp_source` is where the transport's receive stamps come from. `root` is where `/proc` and
    `/sys` are looked for.
    """
    import psutil

    cpuinfo = _text(root / "proc/cpuinfo") or ""
    gpu, cuda = _nvidia()
    return SystemInfo(
        hostname=_utf8(socket.gethostname()),
        platform=platform.system() or None,
        platform_version=platform.version() or None,
        python_version=platform.python_version(),
        cpu_info=_cpu(cpuinfo, root),
        cpu_count=psutil.cpu_count(),
        total_ram_gb=psutil.virtual_memory().total / BYTES_PER_GB,
        gpu_info=gpu,
        cuda_version=cuda,
        kernel=platform.release() or None,
        governor=_governor(root),
        virtualisation=_virtualisation(cpuinfo, root),
        container=_container(root),
        usable_cpus=_usable_cpus(),
        cgroup_cpu_limit=_cgroup_cpus(root),
        cgroup_memory_limit_gb=_cgroup_memory_gb(root),
        load_average_1m=_load_average(),
        packages=_packages(),
        stamp_source=stamp_source,
    )


def _text(path: Path) -> str | None:
    """A small file of the kernel's, stripped; None when it is absent, unreadable or empty."""
    try:
        return path.read_text(errors="replace").strip("\0\n\t ") or None
    except OSError:
        return None


def _utf8(text: str) -> str | None:
    return text.encode("utf-8", "backslashreplace").decode() or None


def _cpu(cpuinfo: str, root: Path) -> str | None:
    import psutil

    name = _cpu_name(cpuinfo, root)
    if name is None:
        return None
    parts = [name]
    if cores := psutil.cpu_count(logical=False):
        parts.append(number_of(cores, "core"))
    top_khz = _text(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    if top_khz and top_khz.isdecimal():
        parts.append(f"up to {int(top_khz) / 1e6:.2f} GHz")
    return ", ".join(parts)


def _cpu_name(cpuinfo: str, root: Path) -> str | None:
    for label in ("model name", "Hardware", "cpu model", "cpu"):
        if match := re.search(rf"^{label}\s*:\s*(\S.*)$", cpuinfo, re.MULTILINE):
            return " ".join(match[1].split())
    if platform.system() == "Darwin":
        name = ask(["sysctl", "-n", "machdep.cpu.brand_string"])
        return name.strip() or None if name else None
    implementer = re.search(r"^CPU implementer\s*:\s*(\S+)$", cpuinfo, re.MULTILINE)
    part = re.search(r"^CPU part\s*:\s*(\S+)$", cpuinfo, re.MULTILINE)
    if implementer and part:
        board = _text(root / "proc/device-tree/model")
        numbers = f"{platform.machine()} implementer {implementer[1]} part {part[1]}"
        return f"{board} ({numbers})" if board else numbers
    return platform.processor() or None


def _governor(root: Path) -> str | None:
    """The frequency governors of all processors: one name where they agree."""
    found = {
        text
        for path in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
        if (text := _text(path))
    }
    return ", ".join(sorted(found)) or None


def _virtualisation(cpuinfo: str, root: Path) -> str | None:
    """The hypervisor, `none` on bare metal, None where the processor does not say."""
    if "microsoft" in platform.release().lower():
        return "WSL"
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    if flags is None:
        return None
    if "hypervisor" not in flags[1].split():
        return "none"
    names = [_text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    known = " ".join(name for name in names if name)
    return known or _text(root / "sys/hypervisor/type") or "unknown hypervisor"


def _container(root: Path) -> str | None:
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    if named := os.environ.get("container"):  # noqa: SIM112 - systemd's own name
        return _utf8(named)
    groups = _text(root / "proc/1/cgroup") or ""
    for mark, name in (("kubepods", "kubernetes"), ("docker", "docker"), ("lxc", "lxc")):
        if mark in groups:
            return name
    return None


def _usable_cpus() -> int | None:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else None


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _nvidia() -> tuple[str | None, str | None]:
    """Names of the NVIDIA cards, with their memory and driver, and the driver's CUDA version."""
    listing = ask(
        ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    )
    if listing is None:
        return None, None
    cards = Counter(line.strip() for line in listing.splitlines() if line.strip())
    gpu = "; ".join(card if n == 1 else f"{n} × {card}" for card, n in cards.items()) or None
    overview = ask(["nvidia-smi"]) if gpu else None
    cuda = re.search(r"CUDA(?: UMD)? Version\s*:\s*([0-9][0-9.]*)", overview or "")
    return gpu, cuda[1] if cuda else None


def _cgroup_folders(root: Path, controller: str) -> list[Path]:
    """The control groups that this process is in, the innermost first; both versions' places."""
    mount = root / "sys/fs/cgroup"
    folders: list[Path] = []
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            top = mount
        elif controller in controllers.split(","):
            top = mount / controller
        else:
            continue
        inner = top / path.lstrip("/")
        # A container often sees its own group mounted at the top, under a path that it lacks.
        folders += [inner, *(parent for parent in inner.parents if parent.is_relative_to(top))]
    return folders


def _cgroup_cpus(root: Path) -> float | None:
    """Processors' worth of time that the narrowest control group allows; None for no limit."""
    limits = []
    for folder in _cgroup_folders(root, "cpu"):
        words = (_text(folder / "cpu.max") or "").split()
        if not words:
            words = [
                _text(folder / "cpu.cfs_quota_us") or "",
                _text(folder / "cpu.cfs_period_us") or "",
            ]
        if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]) > 0:
            limits.append(int(words[0]) / int(words[1]))
    return min((limit for limit in limits if limit > 0), default=None)


def _cgroup_memory_gb(root: Path) -> float | None:
    """Memory that the narrowest control group allows; None for no limit."""
    limits = []
    for folder in _cgroup_folders(root, "memory"):
        word = _text(folder / "memory.max") or _text(folder / "memory.limit_in_bytes") or ""
        if word.isdecimal() and int(word) < _UNLIMITED_BYTES:
            limits.append(int(word))
    return min(limits) / BYTES_PER_GB if limits else None
