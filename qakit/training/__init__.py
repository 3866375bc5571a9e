"""One readable training loop, its optimiser, its checkpoints."""
