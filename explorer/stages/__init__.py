"""Steps 1 to 5: pure functions from one frozen artifact to the next. No state, no display code."""
