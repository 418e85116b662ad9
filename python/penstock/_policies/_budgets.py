"""Budgets: how much money may be spent, and what happens then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar, cast, get_args

from penstock._errors import DefinitionError
from penstock._money import Money, Usd, dollars

from ._checks import instance, number, one_of, word
from ._json import Policy

if TYPE_CHECKING:
    from penstock._stages import Stage

W = TypeVar("W", bound="Stage[..., Any] | str")

Payer: TypeAlias = Literal["run", "workflow", "tenant"]
WhenSpent: TypeAlias = Literal["fail", "pause", "degrade"]
Period: TypeAlias = Literal["day"]


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class Budget(Policy):
    """How much a run, a workflow or a tenant may spend. Money is reserved before it is spent.

    For an attempt that is `Cost.max_usd` of the step's `estimate`, or else the larger of `Cost.usd`
    and what 95 % of the step's attempts have cost so far. What is spent beyond that is the most by
    which a budget is exceeded. An attempt that only money in reserve stands in the way of waits for
    it, without a slot. Compensation is always paid for.

    Attributes:
        usd: US dollars, more than 0.
        per: "day" (in UTC) for so much each day; None for so much in all.
        when_spent: "fail" fails the step, which its fallback may stand in for, and so the run;
            "pause" keeps the run until the budget is raised and `Run.resume` is called, or, if it
            is for a day, until the next one; "degrade" keeps cascades on the tier they are on
            once `degrade_at` is reached, and pauses what is not covered.
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

    @property
    def parts(self) -> tuple[int, bool, str, float]:
        """The budget as the native side takes it."""
        return self.usd.nanos, self.per == "day", self.when_spent, self.degrade_at


@dataclass(frozen=True, slots=True, init=False)
class Budgets:
    """What workflows and tenants may spend, each out of one account for all of its runs.

    A run is paid from its own budget, its workflow's and its tenant's: each of those that it has
    must cover an attempt before it starts.

    Attributes:
        workflows: by name of the workflow, for all of its versions together. What a workflow calls
            is paid by the one that was started.
        tenants: by name.
        tenant: for each tenant that is not named.

    Raises:
        DefinitionError: a name is empty, or what is given for it is no budget.

    >>> import penstock as ps
    >>> budgets = Budgets(workflows={"support": ps.Budget(usd=50, per="day")})
    >>> budgets.workflows["support"].usd
    usd('50')
    """

    workflows: Mapping[str, Budget]
    tenants: Mapping[str, Budget]
    tenant: Budget | None

    def __init__(
        self,
        *,
        workflows: Mapping[W, Budget] | None = None,
        tenants: Mapping[str, Budget] | None = None,
        tenant: Budget | None = None,
    ) -> None:
        given = {
            name if isinstance(name, str) else getattr(name, "name", name): budget
            for name, budget in (workflows or {}).items()
        }
        kept = {
            "workflows": _named(given, "Budgets.workflows"),
            "tenants": _named(tenants or {}, "Budgets.tenants"),
            "tenant": None if tenant is None else checked_budget(tenant, "Budgets.tenant"),
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    def each(self) -> Iterator[tuple[str, str | None, Budget]]:
        """Whose, the name or None for each other tenant, and the budget."""
        for name, budget in self.workflows.items():
            yield "workflow", name, budget
        for name, budget in self.tenants.items():
            yield "tenant", name, budget
        if self.tenant is not None:
            yield "tenant", None, self.tenant


class BudgetState(NamedTuple):
    """How a budget stands.

    Attributes:
        payer: "run", "workflow" or "tenant".
        name: of the workflow or tenant, or the run's id.
        limit: what may be spent.
        per: "day" or None, as the budget has it.
        spent: what was spent, of the present day in UTC if it is for a day.
        reserved: what attempts under way may still spend of it.
        waiting: steps that wait for what is reserved.
    """

    payer: Payer
    name: str
    limit: Usd
    per: Period | None
    spent: Usd
    reserved: Usd
    waiting: int

    @classmethod
    def of(cls, row: tuple[str, str, int, bool, int, int, int]) -> BudgetState:
        """A state out of what the native side tells."""
        payer, name, limit, daily, spent, reserved, waiting = row
        return cls(
            payer=cast("Payer", payer),
            name=name,
            limit=Usd(limit),
            per="day" if daily else None,
            spent=Usd(spent),
            reserved=Usd(reserved),
            waiting=waiting,
        )


def checked_budget(budget: object, name: str) -> Budget:
    """The budget, if it is one.

    Raises:
        DefinitionError: it is none.
    """
    return instance(budget, name, Budget, "give a Budget, such as Budget(usd=0.05)")


def run_budget(budget: object, name: str) -> Budget:
    """The budget, if it is one that a run may have.

    Raises:
        DefinitionError: it is none, or for a day.
    """
    found = checked_budget(budget, name)
    if found.per is not None:
        raise DefinitionError(
            f"{name} is for each {found.per}, and a run's is for the whole run",
            remedy="leave per= out, or limit the workflow: Runtime(budgets=ps.Budgets(...))",
        )
    return found


def _named(budgets: Mapping[Any, object], name: str) -> Mapping[str, Budget]:
    return MappingProxyType(
        {
            word(key, f"a name in {name}"): checked_budget(budget, f"{name}[{key!r}]")
            for key, budget in budgets.items()
        }
    )
