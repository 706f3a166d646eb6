"""What came from what: typed nodes and the edges between them."""
