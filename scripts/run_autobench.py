"""The registry benchmark: `python scripts/run_autobench.py --dry-run`.

The same as `minionbench autobench`; `from scripts.run_autobench import run_benchmark` works from
the checkout's root.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

NOT_INSTALLED = 3
"""Exit code: something that the run needs is not there."""

try:
    from minionbench.autobench import run_benchmark
except ModuleNotFoundError as missing:
    if __name__ != "__main__":
        raise
    root = shlex.quote(str(Path(__file__).resolve().parent.parent))
    line = f"cd {root} && {shlex.quote(sys.executable)} -m pip install -r requirements.txt"
    print(f"{missing.name} is not installed here. This installs it: {line}", file=sys.stderr)
    sys.exit(NOT_INSTALLED)

__all__ = ["main", "run_benchmark"]


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark with these arguments (None: the process's own); returns the exit code."""
    from minionbench.cli import main as minionbench

    return minionbench(["autobench", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
