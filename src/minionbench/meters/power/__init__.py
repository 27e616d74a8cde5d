"""Power meters: what a machine draws, measured, modelled and called so, or absent with a reason."""
