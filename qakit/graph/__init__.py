"""Several trainings as one: a graph of work, how recipes become one, and how it is carried out.

Folds, stages, members of an ensemble, steps of a ladder and trials of a study are nodes of a graph (``nodes``). A
recipe of any kind becomes one (``expand``, by the kinds in ``folds``, ``pipeline`` and ``ensemble``), gets its folders
(``folders``), and is carried out (``execute``): in this process, or in processes of this machine (``processes``). What
is finished is read from the folder of each node alone, so whoever comes next continues: another command or machine.
"""
