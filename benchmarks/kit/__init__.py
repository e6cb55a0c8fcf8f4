"""The shared kit: the case that is measured, how, and plain torch to compare with; knows no other room."""
