"""Assignment: which runs go to the canary, by a hash that every process agrees on."""

from __future__ import annotations

from hashlib import blake2b


def assign(salt: str, key: str, share: float) -> bool:
    """Whether `key` goes to the canary: the same answer in every process, for ever.

    A larger share only adds keys: whoever is in the canary stays in it. Another salt shares them
    out anew, independently.

    Args:
        salt: of the release.
        key: of the run, or of the tenant that stays together.
        share: of the canary, 0 to 1.

    >>> assign("support-2", "ticket-42", 1.0), assign("support-2", "ticket-42", 0.0)
    (True, False)
    """
    # The length keeps ("a", "bc") and ("ab", "c") apart.
    text = f"{len(salt)}:{salt}{key}".encode("utf-8", "surrogatepass")
    drawn = int.from_bytes(blake2b(text, digest_size=8).digest(), "big")
    return drawn < share * 2.0**64
