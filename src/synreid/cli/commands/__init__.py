"""One function a command, one file a group. Positional parameters are positional on the command line, keyword-only ones
are options."""
