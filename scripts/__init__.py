"""Programs of the checkout."""
