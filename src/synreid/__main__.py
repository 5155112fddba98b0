"""`python -m synreid` is the same as `synreid`."""

from synreid.cli.main import main

main()
