"""The pages of workflows: their interfaces, contracts and risks, as printed by the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import penstock as ps
from penstock._cli._app import app
from penstock._coverage import Coverage
from penstock._coverage_graph import measured
from penstock._pages import AREAS, contract_page, risks
from penstock._stored import StoreView

FLOWS = '''
    from typing import Literal
    import penstock as ps

    prompt = ps.Setting("draft.prompt", "Be brief.", version="3", owner="ml")
    unused = ps.Setting("unused", 5)
    gpt = ps.Queue("gpt", version="2", concurrency=4)
    SEEN: dict[str, str] = {}

    def score(text: str) -> float:
        return len(text) / 10

    def kind(text: str) -> Literal["long", "short"]:
        return "long" if len(text) > 5 else "short"

    @ps.step(owner="ml", queue=gpt, effects="pure", accept=ps.Threshold(score, at=0.7),
             on_reject="review", playbook="page ml | now")
    async def draft(text: str, ctx: ps.Context) -> str:
        SEEN[text] = text
        return f"{ctx.get(prompt)} {text}"

    @ps.step(effects="idempotent")
    async def undo(text: str, result: str | None) -> None: ...

    @ps.step(owner="mail", effects="idempotent", compensate=undo, timeout=2.0,
             retry=ps.RetryPolicy(max_attempts=3))
    async def book(text: str) -> str:
        return text

    @ps.step(effects="once")
    async def send(text: str) -> str:
        return text

    @ps.workflow(version="1.0.0", owner="cx", value=1.2, rollback=ps.Criteria())
    def support(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        """Answers a ticket."""
        case = flow.switch(text, key=kind)
        drafted = flow.call(draft, case["long"])
        booked = flow.call(book, case["short"])
        return flow.call(send, flow.merge(drafted, booked))

    @ps.workflow
    def plain(flow: ps.Flow, text: ps.Node[str]) -> ps.Node[str]:
        return flow.call(draft, text, accept=ps.Threshold(score, at=0), on_reject="fail")
'''


@pytest.fixture
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module flows, in a folder from which the command is run."""
    (tmp_path / "flows.py").write_text(dedent(FLOWS), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    sys.modules.pop("flows", None)
    yield __import__("flows")
    del sys.modules["flows"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def listed(target: str) -> list[dict[str, Any]]:
    result = run("interfaces", target, "--json")
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


async def _support(texts: list[str]) -> None:
    flows: Any = sys.modules["flows"]
    async with ps.Runtime(store="s.db", workflows=[flows.support]) as rt:
        for text in texts:
            await rt.run(flows.support, text)


def play(*texts: str) -> None:
    """Run the workflow on each text, in the store s.db, some seconds apart in virtual time."""
    ps.testing.VirtualClock().run(_support(list(texts)))


@pytest.mark.usefixtures("flows")
def test_interfaces_of_a_module_have_name_version_digest_and_owner() -> None:
    rows = {(row["kind"], row["name"]): row for row in listed("flows")}
    assert {kind for kind, _ in rows} == {
        "graph",
        "policies",
        "terms",
        "state machines",
        "queue",
        "setting",
    }
    prompt = rows["setting", "draft.prompt"]
    assert (prompt["version"], prompt["owner"]) == ("3", "ml")
    assert prompt["content"]["value"] == "Be brief."
    assert ("setting", "unused") in rows
    assert rows["graph", "support"]["owner"] == "cx"
    terms = rows["terms", "support"]["content"]
    assert terms["value"] == 1_200_000_000
    assert ps.Criteria.from_dict(terms["rollback"]) == ps.Criteria()
    assert terms["settings"] == {"draft.prompt": prompt["digest"]}
    assert all(row["first"] is None for row in rows.values())
    assert ("setting", "unused") not in {(r["kind"], r["name"]) for r in listed("flows:support")}
    table = run("interfaces", "flows").stdout
    assert "draft.prompt" in table
    assert prompt["digest"][:12] in table


def test_interfaces_of_a_store_are_those_of_the_module_with_their_use(flows: Any) -> None:
    """One can be compared with the other: the digests are the same."""
    play("hello", "x")
    play("again")
    every = listed("s.db")
    books = [row for row in every if row["kind"] == "price book"]
    assert [book["version"] for book in books] == ["1"], "that of the runtime"
    used = (books[0]["first"], books[0]["last"])
    rows = [row for row in every if row not in books]
    identity = ("kind", "name", "version", "digest")
    known = {tuple(row[name] for name in identity) for row in listed("flows:support")}
    assert known == {tuple(row[name] for name in identity) for row in rows}
    view = StoreView(Path("s.db"))
    accepted = sorted(info.accepted for info in view.runs(workflow="support"))
    oldest = view.oldest(workflow="support", version="1.0.0")
    view.close()
    assert oldest is not None
    assert oldest.accepted == accepted[0]
    assert {(row["first"], row["last"]) for row in rows} == {(accepted[0], accepted[-1])}
    assert used == (accepted[0], accepted[-1])
    assert {row["owner"] for row in rows if row["name"] == "support"} == {"cx"}
    assert flows.support.version in run("interfaces", "s.db").stdout


@pytest.mark.usefixtures("flows")
def test_a_changed_setting_is_another_interface_of_the_store() -> None:
    play("hello")
    before = Path("flows.py").read_text(encoding="utf-8")
    Path("flows.py").write_text(before.replace("Be brief.", "Be kind."), encoding="utf-8")
    del sys.modules["flows"]
    __import__("importlib").invalidate_caches()
    __import__("flows")
    play("hello")
    prompts = [row for row in listed("s.db") if row["kind"] == "setting"]
    assert {row["content"]["value"] for row in prompts} == {"Be brief.", "Be kind."}
    assert len([row for row in listed("s.db") if row["kind"] == "graph"]) == 1


def test_the_oldest_of_many_runs_is_found_among_those_of_other_workflows(flows: Any) -> None:
    """By its number, without a look at each."""

    async def main() -> None:
        async with ps.Runtime(store="s.db", workflows=[flows.support, flows.book]) as rt:
            for number in range(40):
                await rt.run(flows.book, "x", run_id=f"b{number}")
                if number in (13, 14, 27):
                    await rt.run(flows.support, "x", run_id=f"s{number}")

    ps.testing.VirtualClock().run(main())
    view = StoreView(Path("s.db"))
    found = [view.oldest(workflow=name) for name in ("support", "book", "nothing")]
    view.close()
    assert [None if info is None else info.run_id for info in found] == ["s13", "b0", None]


@pytest.mark.usefixtures("flows")
def test_a_contract_says_what_a_workflow_takes_gives_and_needs() -> None:
    result = run("contracts", "flows:support")
    assert result.exit_code == 0
    page = result.stdout
    for line in (
        "# support 1.0.0",
        "Answers a ticket.",
        "- Owner: cx",
        "- A success is worth: $1.20",
        "| `text` | `str` |",
        "| result | `str` |",
        "| `support/draft` | `draft 1` | ml | pure | `gpt` | 1 | none | page ml \\| now |",
        "| `support/send` | `send 1` | cx | once | none | 1 | none | none |",
        "| `support/draft` | `score` | 0.7 or more | ml is asked at `support/draft/review` |",
        "| `support/book` | all 3 attempts fail | the run fails |",
        "| `support/draft/review` | `draft-review: str` | ml | for ever |",
        "| mail and ml | cx | `support/merge -> support/send` | `str` |",
        "| `support/book` | `undo` |",
        "| `support/send` | it stays |",
        '    "success": {',
        "| `draft.prompt` | 3 | ml | `",
    ):
        assert f"\n{line}" in f"\n{page}", line


@pytest.mark.usefixtures("flows")
def test_each_workflow_of_a_module_has_a_page() -> None:
    pages = run("contracts", "flows").stdout
    assert pages.count("\n## Rollback criteria\n") == 2
    plain = pages[pages.index("# plain 1") :]
    assert "- Owner: **nobody**" in plain
    assert "| `plain/draft` | `score` | 0 or more | it fails |" in plain
    assert "None: nothing takes a release of it back." in plain


def test_a_page_says_where_a_value_goes_that_is_not_accepted() -> None:
    @ps.step
    async def cheap(x: int) -> int:
        return x

    @ps.step(timeout=3.0)
    async def best(x: int) -> int:
        return x

    def good(x: int) -> bool:
        return x > 5

    @ps.workflow
    def w(flow: ps.Flow, x: ps.Node[int]) -> ps.Node[int]:
        laddered = flow.cascade((cheap, best), x, accept=good)
        return flow.call(cheap, laddered, fallback=best, accept=ps.Threshold(float, at=7))

    page = contract_page(w)
    assert "| `w/cascade/cheap` | `good` | its word | `w/cascade/best` takes over |" in page
    assert "| `w/cheap` | `float` | 7 or more | `w/cheap/fallback` takes over |" in page
    assert "| `w/cascade/cheap` | its attempt fails | the run goes on |" in page
    assert "| `w/cheap/fallback` | its attempt fails | the run fails |" in page
    assert "## Where people come in\n\nNowhere." in page


def found(*arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
    result = run("risks", "flows:support", *arguments, "--json")
    assert result.exit_code == 0, result.output
    (content,) = json.loads(result.stdout)
    return {(risk["area"], risk["place"]): risk for risk in content["risks"]}


@pytest.mark.usefixtures("flows")
def test_risks_come_with_evidence_owner_playbook_and_review() -> None:
    Path("reviews.json").write_text('{"support/draft": "2026-03-01"}', encoding="utf-8")
    rows = found("--reviews", "reviews.json")
    state = rows["implicit state", "support/draft"]
    assert state["evidence"] == "uses SEEN, a dict that others see as well"
    assert (state["owner"], state["playbook"]) == ("ml", "page ml | now")
    assert state["reviewed"] == "2026-03-01"
    assert "it is not known" in rows["branch coverage", "support"]["evidence"]
    once = rows["effects that may be repeated", "support/send"]
    assert (once["owner"], once["playbook"], once["reviewed"]) == ("cx", None, None)
    assert "runs at most once" in once["evidence"]
    assert "R1.3" in rows["effects that may be repeated", "support/book"]["evidence"]
    assert "R2.2" in rows["compensation", "support/book/compensate"]["evidence"]
    page = run("risks", "flows:support", "--reviews", "reviews.json").stdout
    assert [page.count(f"\n## {area.capitalize()}\n") for area in AREAS] == [1, 1, 1, 1]
    assert "| ml | page ml \\| now | 2026-03-01 |" in page
    assert "| cx | none | never |" in page


@pytest.mark.usefixtures("flows")
def test_a_store_tells_which_outcomes_its_runs_have_shown() -> None:
    play("a long one")
    rows = found("s.db")
    evidence = [risk["evidence"] for (area, _), risk in rows.items() if area == "branch coverage"]
    assert evidence == [
        "support/kind = short was never seen in 1 run in the store",
        "support/draft/threshold = rejected was never seen in 1 run in the store",
    ]
    play("short")
    rows = found("s.db")
    assert ("branch coverage", "support/kind") not in rows
    assert "in 2 runs" in rows["branch coverage", "support/draft/threshold"]["evidence"]


def test_a_coverage_report_tells_which_outcomes_tests_have_shown(flows: Any) -> None:
    covered = measured(flows.support.graph, None, digest=flows.support.digest, pairs=None)
    Path("cov.json").write_text(Coverage.of([covered]).to_json(), encoding="utf-8")
    rows = found("cov.json")
    assert (
        "was never seen in 0 runs of tests" in rows["branch coverage", "support/kind"]["evidence"]
    )


def test_a_step_without_effects_and_state_has_no_risks() -> None:
    @ps.step(effects="pure", owner="cx")
    async def clean(x: int) -> int:
        return x

    assert risks(clean.as_workflow()) == []


@pytest.mark.usefixtures("flows")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["interfaces", "nothing"], "there is no module 'nothing'"),
        (["interfaces", "broken.db"], "broken.db"),
        (["interfaces", "sqlite:///none.db"], "none.db"),
        (["risks", "flows", "none.json"], "none.json can't be read"),
        (["risks", "flows", "none.db"], "none.db"),
        (["risks", "flows", "--reviews", "none.json"], "none.json can't be read"),
        (["risks", "flows", "--reviews", "flows.py"], "flows.py is no JSON"),
        (["risks", "flows", "--reviews", "list.json"], "has no dates by node"),
        (["contracts", "flows:nothing"], "'nothing' is not there"),
    ],
)
def test_a_mistake_in_the_call_is_told(arguments: list[str], said: str) -> None:
    Path("broken.db").write_text("no store", encoding="utf-8")
    Path("list.json").write_text("[]", encoding="utf-8")
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
