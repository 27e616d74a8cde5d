"""Facts about the surroundings of a run: machine, repository, and a command line without keys."""

from __future__ import annotations

from minionbench.system.git import GitFacts, git_facts
from minionbench.system.machine import system_info
from minionbench.system.redaction import redact, redact_text

__all__ = ["GitFacts", "git_facts", "redact", "redact_text", "system_info"]
