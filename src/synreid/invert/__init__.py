"""From a real picture to the styles of a frozen generator that show it, and from there to variations of the person.

Generators come in as the `generate` room left them and are never changed here; one that is tuned to a person is a copy.
Which pictures may be looked at is the picture table's matter; which variations are kept, and what they are called, is
decided in `select` and `label`.
"""
