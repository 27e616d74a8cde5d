"""Names that documents carry for ever."""

from __future__ import annotations

REGISTRY_METRICS = (
    "latency_ms",
    "tokens_per_sec",
    "peak_vram_mb",
    "peak_ram_mb",
    "cove_pass_rate",
    "retrieval_score",
)
"""The metrics of the registry benchmark: every candidate of every document has them, measured or
not."""
