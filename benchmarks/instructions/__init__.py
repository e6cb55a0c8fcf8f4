"""A regression guard without a clock: instructions of one training step, against a stored budget."""
