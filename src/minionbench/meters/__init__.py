"""Meters: what a run used, measured where it can be, with the reason where it cannot."""
