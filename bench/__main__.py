"""`python -m bench`: every figure of bench/README.md as JSON; exit 1 where a target is missed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from bench import (
    accuracy,
    autobench,
    compare,
    engine_overhead,
    flat_out,
    history,
    hybrid,
    metering,
    parsing,
    report,
    simulator,
    startup,
)

PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "startup": startup.measure,
    "parsing": parsing.measure,
    "compare": compare.measure,
    "simulator": simulator.measure,
    "report": report.measure,
    "history": history.measure,
    "hybrid": hybrid.measure,
    "engine_overhead": engine_overhead.measure,
    "autobench": autobench.measure,
    "flat_out": flat_out.measure,
    "metering": metering.measure,
    "accuracy": accuracy.measure,
}


def all_met(part: object) -> bool:
    """Whether no `met`, at any depth, says that a target was missed."""
    if isinstance(part, list):
        return all(map(all_met, part))
    if not isinstance(part, dict):
        return True
    met = part.get("met", True)
    own = all(met.values()) if isinstance(met, dict) else bool(met)
    return own and all(map(all_met, part.values()))


def main() -> int:
    """Measures everything, quickest first."""
    argparse.ArgumentParser(prog="python -m bench", description=__doc__).parse_args()
    results = {}
    for name, measure in PARTS.items():
        print(f"{name} …", file=sys.stderr, flush=True)
        results[name] = measure()
    print(json.dumps(results, indent=2))
    return 0 if all_met(results) else 1


if __name__ == "__main__":
    sys.exit(main())
