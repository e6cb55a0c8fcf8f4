"""Accuracy on public data sets: every method beside every other, and the published Gowalla protocol."""
