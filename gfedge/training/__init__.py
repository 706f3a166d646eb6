"""Training jobs: what makes models, here, elsewhere, or on a rented machine."""
