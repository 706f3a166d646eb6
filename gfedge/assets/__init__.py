"""Pictures by content: files named by their sha256, and the rows that describe them."""
