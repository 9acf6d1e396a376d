"""Which known word was probably meant?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """A clause to append to an error: ``; did you mean 'group_size'?``, or nothing when no known word is close.

    Case is ignored in comparing, and kept in the suggestion.
    """
    spellings = {str(name).lower(): str(name) for name in known}
    close = difflib.get_close_matches(str(word).lower(), spellings, n=1, cutoff=0.5)
    return f"; did you mean {spellings[close[0]]!r}?" if close else ""
