"""From a real picture to the styles of a frozen generator that show it: encoder, its losses and training, refinement.

Generators come in as the `generate` room left them and are never changed here; one that is tuned to a person is a copy.
Which pictures may be looked at is the picture table's matter; what latents are good for is that of other rooms.
"""
