"""Label strategies: from the identity that a picture claims to the class probabilities it is trained with.

Here live the protocol, one strategy a file, and the place that finds a strategy by its name. Losses and networks do
not live here: a strategy says what a picture should be called and how much that counts, never how it is learned.
"""
