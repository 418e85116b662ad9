"""A module whose names the tests of reads are about."""

import penstock as ps

prompt = ps.Setting("module.prompt", "a")
LIMITS = frozenset({1, 2})
SEEN: set[str] = set()


class Prompts:
    """Settings in a class."""

    long = ps.Setting("module.long", "b")
