"""Studies: many trainings of recipes that differ in chosen values."""
