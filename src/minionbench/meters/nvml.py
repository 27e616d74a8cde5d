"""The driver's library of NVIDIA GPUs (NVML), opened, asked for its devices, and given back.

It is reached through `nvidia-ml-py`, which need not be installed: without it, without a GPU or
without a permission there is no number but the reason.

Source: NVML API reference.
"""

from __future__ import annotations

import contextlib
import ctypes
from types import ModuleType
from typing import Any, NamedTuple

LIBRARY = "libnvidia-ml.so.1"
NOT_INSTALLED = (
    "nvidia-ml-py, which reads the GPU's memory and energy, is not installed: "
    "`pip install 'minionbench[gpu]'`, or `pip install nvidia-ml-py`"
)
NO_DRIVER = f"no NVIDIA GPU is usable: the driver's library {LIBRARY} is not on this machine"
NO_DEVICE = "the NVIDIA driver lists no GPU"


class Gpu(NamedTuple):
    """A GPU that the driver lists."""

    name: str
    total_bytes: int | None
    """None where the driver does not tell."""


class Gpus(NamedTuple):
    """What the driver says of the machine's GPUs."""

    devices: tuple[Gpu, ...]
    driver: str | None
    reason: str | None
    """Why there are none; None when there are some."""


def gpus() -> Gpus:
    """The GPUs that the driver lists, or why there are none to be listed."""
    nvml, why = opened()
    if nvml is None:
        return Gpus((), None, why)
    try:
        devices = tuple(
            Gpu(name_of(nvml, handle), _total_bytes(nvml, handle)) for handle in handles(nvml)
        )
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        return Gpus(devices, driver, None if devices else NO_DEVICE)
    except nvml.NVMLError as error:
        return Gpus((), None, refused(error))
    finally:
        shut(nvml)


def opened() -> tuple[ModuleType | None, str | None]:
    """The library, begun; or why it cannot be. What is opened has to be shut."""
    try:
        import pynvml
    except ImportError:
        return None, NOT_INSTALLED if _driver_is_there() else NO_DRIVER
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return None, NO_DRIVER
    except pynvml.NVMLError as error:
        return None, refused(error)
    return pynvml, None


def shut(nvml: ModuleType) -> None:
    """Gives the library back."""
    # Where the driver went away meanwhile there is nothing left to give back.
    with contextlib.suppress(nvml.NVMLError):
        nvml.nvmlShutdown()


def handles(nvml: ModuleType) -> list[Any]:
    """What the library knows each GPU by, in its order; raises NVMLError where it refuses."""
    return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]


def name_of(nvml: ModuleType, handle: Any) -> str:
    """A GPU's name; raises NVMLError where the library refuses."""
    return _text(nvml.nvmlDeviceGetName(handle))


def refused(error: Exception) -> str:
    """What a refusal of the library is told as."""
    return f"the NVIDIA driver refused: {str(error).rstrip('.')}"


def _driver_is_there() -> bool:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return False
    return True


def _text(told: bytes | str) -> str:
    """Older versions of the package give bytes."""
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else told


def _total_bytes(nvml: ModuleType, handle: Any) -> int | None:
    """A GPU's memory; None where it has none of its own that is told."""
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    except nvml.NVMLError:
        return None
