"""A recipe drafted from data files: what they show decides, and a comment beside each value says what that was."""
