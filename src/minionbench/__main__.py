"""`python -m minionbench` is the command `minionbench`."""

from __future__ import annotations

import sys

from minionbench.cli import main

sys.exit(main())
