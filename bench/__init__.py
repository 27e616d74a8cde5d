"""The project's own measuring instruments: what minionbench itself is measured with."""
