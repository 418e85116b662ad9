"""Failure: what stands in a map's result for an item that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pydantic_core.core_schema import CoreSchema


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Failure:
    """An item that failed for good in a `Flow.map` with `tolerated_failures`.

    Equal to one of the same node whose error is of the same class and says the same.

    Attributes:
        error: what the step raised.
        node: the path of the node that failed, such as "support/pages[3]".
        attempts: how often it was tried.
    """

    error: BaseException
    node: str
    attempts: int

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Failure):
            return NotImplemented
        return self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def _facts(self) -> tuple[object, ...]:
        from ._payloads import told

        return (*told(self.error), self.node, self.attempts)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> CoreSchema:
        """How a durable store keeps it: as an object with the one field `failure`."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            _read,
            serialization=core_schema.plain_serializer_function_ser_schema(_write),
        )


def _write(failure: Failure) -> dict[str, object]:
    from ._payloads import encode_error

    error = encode_error(failure.error).decode()
    return {"failure": {"error": error, "node": failure.node, "attempts": failure.attempts}}


def _read(content: object) -> Failure:
    from ._payloads import decode_error

    if isinstance(content, Failure):
        return content
    if not (isinstance(content, dict) and content.keys() == {"failure"}):
        raise ValueError("no failure")
    told = cast("dict[str, Any]", content)["failure"]
    error = decode_error(told["error"].encode())
    return Failure(error=error, node=told["node"], attempts=told["attempts"])
