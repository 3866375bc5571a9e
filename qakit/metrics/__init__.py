"""Figures for answers against gold examples, as plain functions.

Answers come as a mapping from id to text; an unanswered id is judged as each function says. Nothing here needs numpy.
"""
