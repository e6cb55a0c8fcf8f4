"""Trainings by several processes: what they learn, what they say to each other, and what a cluster would need."""
