"""A defect of the native side must show, not leave everybody waiting."""

import asyncio

import pytest

import penstock as ps


@ps.workflow
def patient(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
    return flow.sleep(x, 0.01)


def test_whoever_awaits_a_run_is_told_when_the_engine_has_failed() -> None:
    """A panic left `await run.result()` hanging for ever."""

    async def main() -> None:
        runtime = ps.Runtime(workflows=[patient])
        await runtime.__aenter__()
        run = await runtime.start(patient, 1)
        waiting = asyncio.ensure_future(run.result())
        await asyncio.sleep(0)
        core = runtime._core
        # No detail for any node of the plan: nothing in penstock does that.
        with pytest.raises(BaseException, match="one policy per node"):
            core.add_plan(patient.plan, "", [])
        with pytest.raises(RuntimeError, match="this runtime can't go on"):
            await asyncio.wait_for(waiting, 5)

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    loop.run_until_complete(main())
    loop.close()
