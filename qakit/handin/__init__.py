"""A run as a folder for a course's graders.

``predict.py`` and ``plot.py`` are programs that it holds, and nothing imports them; ``settings`` says what the first is
told, ``course`` what graders ask for, ``write`` puts the folder together.
"""
