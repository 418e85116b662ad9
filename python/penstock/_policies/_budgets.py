"""Budgets: how much money may be spent, and what happens then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from penstock._errors import DefinitionError
from penstock._money import Money, Usd, dollars

from ._checks import number, one_of, word
from ._json import Policy

WhenSpent: TypeAlias = Literal["fail", "pause", "degrade"]
Period: TypeAlias = Literal["day"]


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Budget(Policy):
    """How much a run, a workflow or a tenant may spend. Money is reserved before it is spent.

    Attributes:
        usd: US dollars, more than 0.
        per: "day" (in UTC) for so much each day; None for so much in all.
        when_spent: "fail" ends the run; "pause" keeps it until there is money again; "degrade"
            keeps cascades on their cheapest tier, and pauses what is still not covered.
        degrade_at: the share of the budget from which on it degrades; above 0, at most 1.
        version: changes when the budget does.

    Raises:
        DefinitionError: a value is out of its range.

    >>> import penstock as ps
    >>> ps.Budget(usd=0.05, when_spent="degrade")
    Budget(usd=usd('0.05'), when_spent='degrade')
    """

    usd: Usd
    per: Period | None
    when_spent: WhenSpent
    degrade_at: float
    version: str

    def __init__(
        self,
        *,
        usd: Money,
        per: Period | None = None,
        when_spent: WhenSpent = "fail",
        degrade_at: float = 0.8,
        version: str = "1",
    ) -> None:
        self._keep(
            usd=dollars(usd, "Budget.usd"),
            per=None if per is None else one_of(per, "Budget.per", get_args(Period)),
            when_spent=one_of(when_spent, "Budget.when_spent", get_args(WhenSpent)),
            degrade_at=number(degrade_at, "Budget.degrade_at", above=0, most=1),
            version=word(version, "Budget.version"),
        )
        if self.usd.nanos == 0:
            raise DefinitionError("Budget.usd is 0", remedy="give more than a nano-dollar")
