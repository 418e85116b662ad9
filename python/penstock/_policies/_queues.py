"""Queues: the model of a dependency that steps wait in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar, cast

from penstock._errors import DefinitionError

from ._checks import Seconds, instance, number, seconds, whole, word
from ._json import Policy
from ._limits import Adaptive, Breaker, CoDel, Fairness, RateLimit
from ._retry import RetryBudget

P = TypeVar("P", bound=Policy)
_USUAL_BUDGET: Final = RetryBudget()


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Queue(Policy):
    """What steps wait in: a model of one dependency, such as a provider or a database.

    Attributes:
        name: steps and runtimes know the queue by it.
        version: changes when the limits do.
        concurrency: attempts that run at once, an `Adaptive` that finds out how many, or None for
            the runtime's own limit.
        capacity: nodes that may wait; a full queue refuses runs with `Overloaded`. None: no limit
            of its own.
        rate_limit: attempts or tokens per time; a `RateLimit`, one of each unit, or none.
        fairness: how it is shared out among tenants; None for first come, first served.
        aging: seconds after which a priority that was not served gets the next slot.
        aging_share: of the attempts, how many may start for that reason; 0 to 0.5, 0 for never.
        retry_budget: what retries are paid from; None for as many as the steps' policies say.
        breaker: when the dependency is left alone; None for never.
        shed: when new runs are refused because others wait for too long; None for never.

    Raises:
        DefinitionError: an empty name, a value out of its range, or one of another type.

    >>> import penstock as ps
    >>> ps.Queue("gpt", concurrency=64, rate_limit=ps.RateLimit(600, per=60.0))
    Queue('gpt', concurrency=64, rate_limit=(RateLimit(600.0, per=60.0),))
    """

    name: str
    version: str
    concurrency: int | Adaptive | None
    capacity: int | None
    rate_limit: tuple[RateLimit, ...]
    fairness: Fairness | None
    aging: float
    aging_share: float
    retry_budget: RetryBudget | None
    breaker: Breaker | None
    shed: CoDel | None

    _READERS: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "concurrency": Adaptive.from_dict,
        "rate_limit": RateLimit.from_dict,
        "fairness": Fairness.from_dict,
        "retry_budget": RetryBudget.from_dict,
        "breaker": Breaker.from_dict,
        "shed": CoDel.from_dict,
    }

    def __init__(
        self,
        name: str,
        *,
        version: str = "1",
        concurrency: int | Adaptive | None = None,
        capacity: int | None = None,
        rate_limit: RateLimit | Sequence[RateLimit] | None = None,
        fairness: Fairness | None = None,
        aging: Seconds = 30.0,
        aging_share: float = 0.1,
        retry_budget: RetryBudget | None = _USUAL_BUDGET,
        breaker: Breaker | None = None,
        shed: CoDel | None = None,
    ) -> None:
        word(name, "a queue's name")

        def part(value: P | None, field: str, kind: type[P], example: str) -> P | None:
            remedy = f"give a {kind.__name__}, such as {example}, or None"
            return None if value is None else instance(value, of(field), kind, remedy)

        def of(field: str) -> str:
            return f"{field} of queue {name!r}"

        self._keep(
            name=name,
            version=word(version, of("version")),
            concurrency=_concurrency(concurrency, of("concurrency")),
            capacity=None if capacity is None else whole(capacity, of("capacity")),
            rate_limit=_rate_limits(rate_limit, of("rate_limit")),
            fairness=part(fairness, "fairness", Fairness, "Fairness(weights={'acme': 2.0})"),
            aging=seconds(aging, of("aging")),
            aging_share=number(aging_share, of("aging_share"), least=0, most=0.5),
            retry_budget=part(retry_budget, "retry_budget", RetryBudget, "RetryBudget(ratio=0.1)"),
            breaker=part(breaker, "breaker", Breaker, "Breaker(failure_ratio=0.5)"),
            shed=part(shed, "shed", CoDel, "CoDel(target=0.05)"),
        )

    def _usual(self, name: str, default: object) -> object:
        return () if name == "rate_limit" else default


def _concurrency(value: object, name: str) -> int | Adaptive | None:
    if value is None or isinstance(value, Adaptive):
        return value
    if type(value) is not int:
        raise DefinitionError(
            f"{name} is {value!r}",
            remedy="give a whole number from 1, an Adaptive(), or None for no limit of its own",
        )
    return whole(value, name)


def _rate_limits(value: RateLimit | Sequence[RateLimit] | None, name: str) -> tuple[RateLimit, ...]:
    if value is None:
        return ()
    given = value if isinstance(value, tuple | list) else [cast("RateLimit", value)]
    remedy = "give a RateLimit, such as RateLimit(600, per=60.0)"
    limits = tuple(instance(each, name, RateLimit, remedy) for each in given)
    units = [limit.unit for limit in limits]
    if len(units) > len(set(units)):
        raise DefinitionError(
            f"{name} has two limits of {units[0]}",
            remedy="give the stricter one; one of requests and one of tokens go together",
        )
    return limits
