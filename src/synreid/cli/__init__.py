"""The command line: one function a command over the rooms' own functions.

No logic lives here, and nothing heavy is imported before a command runs: `synreid --help` answers at once.
"""
