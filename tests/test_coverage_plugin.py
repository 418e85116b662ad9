"""The pytest plugin's coverage options, in sessions of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock._coverage import Coverage
from penstock._coverage_report import read

pytest_plugins = ["pytester"]

SHOP = """
    import penstock as ps

    @ps.step
    async def bill(amount: int) -> str:
        return f"{amount} billed"

    @ps.step
    async def ask(amount: int) -> str:
        return f"{amount} asked for"

    def big(amount: int) -> bool:
        return amount > 100

    @ps.workflow
    def order(flow: ps.Flow, amount: ps.Node[int]) -> ps.Node[str]:
        case = flow.switch(amount, key=big)
        return flow.merge(flow.call(ask, case[True]), flow.call(bill, case[False]))

    @ps.workflow(version="2")
    def refund(flow: ps.Flow, amount: ps.Node[int]) -> ps.Node[str]:
        case = flow.switch(amount, key=big)
        return flow.merge(flow.call(ask, case[True]), flow.call(bill, case[False]))
"""
TESTS = """
    import asyncio
    import penstock as ps
    from shop import order

    async def run(amount: int) -> str:
        async with ps.Runtime() as rt:
            return await rt.run(order, amount)

    def test_small():
        assert asyncio.run(run(1)) == "1 billed"
"""
MORE = """
    def test_big():
        assert asyncio.run(run(1000)) == "1000 asked for"
"""


@pytest.fixture
def shop(pytester: pytest.Pytester) -> pytest.Pytester:
    """A directory with two workflows, and a test that runs half of one of them."""
    pytester.makeini("[pytest]\npythonpath = .\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(shop=SHOP, test_shop=TESTS)
    return pytester


def session(shop: pytest.Pytester, *options: str) -> pytest.RunResult:
    return shop.runpytest_inprocess(*_PLAIN, *options)


def test_without_the_options_nothing_is_said(shop: pytest.Pytester) -> None:
    done = session(shop)
    assert done.ret == 0
    done.stdout.no_fnmatch_line("*coverage of workflows*")


def test_all_that_ran_is_reported(shop: pytest.Pytester) -> None:
    done = session(shop, "--penstock-cov=")
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        [
            "*branch coverage of workflows*",
            "workflow *runs *nodes *edges *outcomes *pairs *exceptions *loops *moves",
            "order 1 * 1 * 50% *",
            "order 1: never seen",
            "  outcomes    order/big = True",
        ]
    )
    done.stdout.no_fnmatch_line("*refund*")


def test_a_module_is_reported_with_what_never_ran(shop: pytest.Pytester) -> None:
    done = session(shop, "--penstock-cov=shop")
    done.stdout.fnmatch_lines(["order 1 * 50% *", "refund 2 * 0 * 0% *", "in total * 1 * 25% *"])
    done = session(shop, "--penstock-cov=shop:refund", "--penstock-cov=order")
    done.stdout.fnmatch_lines(["order 1 * 50% *", "refund 2 * 0 * 0% *", "in total * 1 * 25% *"])


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        (["--penstock-cov-fail-under=50"], True),
        (["--penstock-cov-fail-under=50.1"], False),
        (["--penstock-cov=shop", "--penstock-cov-fail-under=50"], False),
        (["--penstock-cov=refund", "--penstock-cov-fail-under=0"], False),
        (["--penstock-cov-fail-under=50", "-k", "nothing_of_the_kind"], False),
    ],
)
def test_too_little_fails_the_session(
    shop: pytest.Pytester, options: list[str], passes: bool
) -> None:
    assert (session(shop, *options).ret == 0) is passes


def test_the_shortfall_is_told_by_its_numbers(shop: pytest.Pytester) -> None:
    done = session(shop, "--penstock-cov=shop", "--penstock-cov-fail-under=90")
    done.stdout.fnmatch_lines(["*1 of 4 outcomes of decisions were seen, 25.0%, less than 90%*"])
    assert done.ret == pytest.ExitCode.TESTS_FAILED


def test_sessions_add_up_to_everything(shop: pytest.Pytester) -> None:
    session(shop, "--penstock-cov-json=first.json")
    shop.makepyfile(test_shop=TESTS + MORE)
    session(shop, "--penstock-cov-json=second.json", "-k", "big")
    first, second = read(shop.path / "first.json"), read(shop.path / "second.json")
    assert first.percent("outcomes") == second.percent("outcomes") == 50.0
    assert (first + second).percent("outcomes") == 100.0
    assert ("order 1", "outcomes", "order/big = True") in first.missing(second)


def test_a_file_that_cant_be_written_fails_the_session(shop: pytest.Pytester) -> None:
    done = session(shop, "--penstock-cov-json=nowhere/out.json")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert "out.json can't be written: No such file or directory" in done.stdout.str()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--penstock-cov=elsewhere", "no workflow 'elsewhere' ran, and there is no such module"),
        ("--penstock-cov=json", "there is no workflow in 'json'"),
        ("--penstock-cov=shop:sale", "there is no workflow 'sale' in 'shop'"),
        ("--penstock-cov=broken", "module 'broken' can't be imported: ValueError: at import"),
        ("--penstock-cov=lacking", "module 'lacking' can't be imported: No module named 'nosuch'"),
    ],
)
def test_a_name_that_means_nothing_is_told(
    shop: pytest.Pytester, option: str, message: str
) -> None:
    shop.makepyfile(broken="raise ValueError('at import')", lacking="import nosuch")
    done = session(shop, option)
    assert done.ret == 0
    assert message in done.stdout.str()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--penstock-cov", "tests/"], "put it last"),
        (["--penstock-cov-fail-under=all"], "'all' is no percentage"),
        (["--penstock-cov-fail-under=101"], "'101' is no percentage"),
        (["--penstock-cov-fail-under=nan"], "'nan' is no percentage"),
    ],
)
def test_a_wrong_command_line_is_refused(
    shop: pytest.Pytester, options: list[str], message: str
) -> None:
    done = session(shop, *options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr.str()


def test_workers_of_xdist_are_added_up(shop: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    shop.makepyfile(test_shop=TESTS + MORE)
    options = ("-n2", "--penstock-cov-json=all.json", "--penstock-cov-fail-under=100")
    done = shop.runpytest_subprocess(*_PLAIN, *options)
    assert done.ret == 0
    coverage = read(shop.path / "all.json")
    assert coverage.percent("outcomes") == 100.0
    assert coverage.workflows[0].runs == 2


def test_a_file_that_is_not_there_or_holds_something_else_is_told(tmp_path: Path) -> None:
    from penstock import PenstockError

    with pytest.raises(PenstockError, match="can't be read"):
        read(tmp_path / "none.json")
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(PenstockError, match=r"other\.json: this is no coverage"):
        read(other)
    other.write_text(Coverage().to_json())
    assert read(other) == Coverage()


# Hypothesis would be imported again, and rewritten, in each of the sessions.
_PLAIN = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
