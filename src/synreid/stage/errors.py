"""The one error that is meant for the user's eyes."""

from __future__ import annotations


class UserError(Exception):
    """Bad input, said in one clear sentence: which file or value, which rule it breaks, what to do.

    The command line prints it without a traceback and exits with 2.
    """
