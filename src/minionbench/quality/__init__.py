"""Quality: Chain-of-Verification and retrieval, run over any deployment and scored from records."""
