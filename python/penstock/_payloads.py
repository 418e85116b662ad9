"""Payloads: values and errors as the JSON that a durable store keeps, and back.

A value goes by the annotation of its edge, as pydantic writes and reads it, so that other tools can
read a store. What would not come back as it was is refused where it was returned: in a store it
would be found out only after a crash.
"""

from __future__ import annotations

import builtins
import json
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError

from ._errors import ContractError, RecordedError, Reject, StoreCorrupt

if TYPE_CHECKING:
    from ._contracts import Contract

PAYLOAD_MAX: Final = 8 * 1024 * 1024
"""Bytes of one payload; what is larger belongs in a store of its own, with its address here."""


class Codec:
    """Writes and reads values of one contract; the first use builds an adapter (about 1 ms).

    Args:
        contract: what the values satisfy.
        check: whether each value is read back at once and compared.

    Attributes:
        scalars: classes whose values are written as JSON has them; the binding does that by itself.
    """

    __slots__ = ("_adapter", "_check", "_contract", "scalars")

    def __init__(self, contract: Contract, *, check: bool = False) -> None:
        self._contract = contract
        self._check = check
        self._adapter: TypeAdapter[Any] | None = None
        self.scalars = tuple(kind for kind in contract.exact if kind in _SCALARS)

    def encode(self, value: Any) -> bytes:
        """The value as JSON.

        Raises:
            ContractError: it can't be written, would not come back as it is, or is too large.
        """
        contract = self._contract
        if contract.anything:
            payload = _plain(value, contract)
        else:
            if not contract.gives_back(value):
                raise _refused(contract, value, "a subclass comes back as its base class")
            try:
                payload = self._adapter_of().dump_json(value, warnings="error")
            except (PydanticSerializationError, ValueError, RecursionError) as error:
                raise _refused(contract, value, str(error)) from error
        if len(payload) > PAYLOAD_MAX:
            raise ContractError(
                f"a value of {len(payload):,} bytes is over the limit of {PAYLOAD_MAX:,}",
                remedy="put it into a store of its own, and return its address",
            )
        if self._check:
            self._compare(value, payload)
        return payload

    def decode(self, payload: bytes) -> Any:
        """The value that was written.

        Raises:
            StoreCorrupt: it is no value of this contract.
        """
        try:
            if self._contract.anything:
                return json.loads(payload)
            return self._adapter_of().validate_json(payload)
        except (ValidationError, ValueError) as error:
            raise StoreCorrupt(
                f"a stored value is no {self._contract.name}: {error}",
                remedy="register the version of the workflow that wrote it",
            ) from error

    def _adapter_of(self) -> TypeAdapter[Any]:
        if self._adapter is None:
            self._adapter = _adapter(self._contract)
        return self._adapter

    def _compare(self, value: Any, payload: bytes) -> None:
        again = self.decode(payload)
        alike = type(again) is type(value) and (again == value or self._same(again, payload))
        if not alike:
            raise _refused(self._contract, value, f"it would come back as {again!r:.100}")

    def _same(self, again: Any, payload: bytes) -> bool:
        """For values that equal nothing, such as NaN or plain objects: they are written alike."""
        return self._adapter_of().dump_json(again) == payload if self._adapter else False


def encode_error(error: BaseException) -> bytes:
    """An exception as JSON: its class, what it says, and its traceback as text."""
    kind, message = told(error)
    if isinstance(error, RecordedError):
        trace = error.traceback
    else:
        trace = "".join(traceback.format_exception(error))[-_TRACEBACK_MAX:]
    content: dict[str, object] = {"type": kind, "message": message, "traceback": trace}
    if isinstance(error, Reject):
        content["reject"] = {"reason": error.reason, "to": error.to}
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


def told(error: BaseException) -> tuple[str, str]:
    """The class of an exception and what it says, also of one that stands for another's."""
    if isinstance(error, RecordedError):
        return error.type, str(error.args[0])
    kind = type(error)
    try:
        message = str(error)
    except Exception as broken:  # user code
        message = f"(its message can't be shown: {type(broken).__name__})"
    return f"{kind.__module__}.{kind.__qualname__}", message


def decode_error(payload: bytes) -> BaseException:
    """The exception that was written: of its own class if that is a built-in one, or `Reject`.

    Its traceback comes as a note.
    """
    content = json.loads(payload)
    name, message, trace = content["type"], content["message"], content["traceback"]
    module, _, plain = name.rpartition(".")
    kind = getattr(builtins, plain, None) if module == "builtins" else None
    error: BaseException
    if "reject" in content:
        error = Reject(**content["reject"])
    elif isinstance(kind, type) and issubclass(kind, Exception) and kind not in _NEED_MORE:
        error = kind(message)
    else:
        error = RecordedError(message, type=name, traceback=trace)
    error.add_note(f"As recorded by an earlier process:\n{trace}")
    return error


def _plain(value: Any, contract: Contract) -> bytes:
    """What JSON gives back as it is, for an edge that says nothing of its values."""
    try:
        payload = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        again: object = json.loads(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused(contract, value, str(error)) from error
    if type(again) is not type(value) or again != value:
        raise _refused(contract, value, "without an annotation only what JSON has comes back")
    return payload.encode("utf-8", "surrogatepass")


def _adapter(contract: Contract) -> TypeAdapter[Any]:
    config = ConfigDict(
        ser_json_inf_nan="constants", ser_json_bytes="base64", val_json_bytes="base64"
    )
    problem: Exception | None = None
    # Models, dataclasses and typed dictionaries bring a configuration of their own.
    for attempt in (config, None):
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(contract.annotation, config=attempt)
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            problem = error
            continue
        if adapter.pydantic_complete:
            return adapter
    raise ContractError(
        f"values of {contract.name} can't be kept in a durable store: "
        + str(problem).partition("\n")[0],
        remedy="use a pydantic model, a dataclass or what JSON has, or run it without a store",
    )


def _refused(contract: Contract, value: Any, why: str) -> ContractError:
    return ContractError(
        f"a {type(value).__qualname__} can't be kept as {contract.name} in a durable store: {why}",
        remedy="return what the annotation says, or annotate the step with what it returns",
    )


Encode = Callable[[Any], bytes]
Decode = Callable[[bytes], Any]

_SCALARS: Final = (str, int, bool, type(None))
_TRACEBACK_MAX: Final = 16_000
_NEED_MORE: Final = (
    UnicodeDecodeError,
    UnicodeEncodeError,
    UnicodeTranslateError,
    BaseExceptionGroup,
    ExceptionGroup,
)
