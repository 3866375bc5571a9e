"""Two models as one: a stage that selects contexts, and a stage that finds the span in those it passed on."""
