"""Steps 6 and 7: the dispatch table, the stitching functions, and the model that runs them."""
