"""The plots of a report: each module makes figures of what was read."""
