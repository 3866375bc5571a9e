"""What the commands do, without a command line: train, predict, evaluate, compare, combine.

``qakit.train`` and its siblings are these; the commands read their options, call them and show what comes back.
"""
