"""Which made pictures to keep: scores, the policy that turns them into kept or discarded, and the record of both.

A score gives every picture a number; a policy applies its rules in order, each to what the earlier ones left; the
selection table (`sha256`, scores, `kept`, `reason`) is written beside, never into, the table of persons, so that
several policies can choose from one pool. What a kept picture is called is decided in `label/`.
"""
