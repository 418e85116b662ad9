"""Arms: what the runs of a release run under, and which run goes where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from penstock._errors import DefinitionError
from penstock._evidence import assign

StickyBy: TypeAlias = "Literal['run', 'tenant'] | Callable[..., str]"
"""What stays in one arm together: a run, a tenant, or what a function of the inputs says."""

ArmName: TypeAlias = Literal["canary", "baseline"]
RELEASE_TAG: Final = "penstock.release"
ARM_TAG: Final = "penstock.arm"


@dataclass(frozen=True, slots=True)
class Arm:
    """What runs run under.

    Attributes:
        version: of the workflow.
        overlay: digest of what is changed in it; empty for nothing.
    """

    version: str
    overlay: str = ""

    @property
    def name(self) -> str:
        """As people tell it: "2.0.0", "2.0.0+1f00a3b2"."""
        return f"{self.version}+{self.overlay[:8]}" if self.overlay else self.version


@dataclass(frozen=True, slots=True)
class Assigned:
    """Where a run goes.

    Attributes:
        arm: which of the two.
        unit: what it is assigned with; empty if by itself.
    """

    arm: ArmName
    unit: str


class Assignment:
    """Sends runs to arms by a hash that is salted by the release: always to the same one.

    Args:
        salt: the release's name.
        share: of the canary.
        sticky_by: what stays together.
    """

    def __init__(self, salt: str, share: float, sticky_by: StickyBy) -> None:
        if sticky_by not in ("run", "tenant") and not callable(sticky_by):
            raise DefinitionError(
                f"sticky_by is {sticky_by!r}",
                remedy='give "run", "tenant", or a function of the inputs that gives a str',
            )
        self.salt, self.share, self.sticky_by = salt, share, sticky_by

    def of(self, run_id: str, tenant: str | None, inputs: tuple[Any, ...]) -> Assigned:
        """Where a run goes.

        Raises:
            DefinitionError: the function of the user's gives no text.
        """
        if callable(self.sticky_by):
            unit = cast("object", self.sticky_by(*inputs))
            if not isinstance(unit, str) or not unit:
                raise DefinitionError(
                    f"sticky_by gave {unit!r} for a run's inputs", remedy="let it give a str"
                )
        else:
            unit = tenant or "" if self.sticky_by == "tenant" else ""
        canary = assign(self.salt, unit or run_id, self.share)
        return Assigned("canary" if canary else "baseline", unit)

    @property
    def told(self) -> str:
        """What stays together, in a word."""
        return "function" if callable(self.sticky_by) else self.sticky_by
