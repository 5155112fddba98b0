"""Whole studies: recipes, arms times seeds, controls and statistics, from a user's folder to `study.json`.

A study calls the other rooms' stages in order and holds no method of its own. How its result looks is the report's.
The privacy audit is here too, since it joins a generator or a selection with the quality room's measures, which know
nothing of each other.
"""
