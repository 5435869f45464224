"""JSON with whole numbers of any length.

Python turns no more than 4,300 digits into an `int` (`sys.get_int_max_str_digits`), since the time
that takes grows with the square of their number. A longer one comes as a `decimal.Decimal`, which
is as exact, and keeps nobody from the rest of what was read.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Any

__all__ = ["loads"]


def loads(text: str) -> Any:
    """Reads JSON, as `json.loads` does.

    Raises:
        json.JSONDecodeError: It is none.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int | Decimal:
    try:
        return int(digits)
    except ValueError:
        from decimal import Decimal

        return Decimal(digits)
