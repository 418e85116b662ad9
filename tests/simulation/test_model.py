"""Model files: written and read back, made from a workflow, and refused with place and remedy."""

from __future__ import annotations

import copy
import json
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock._simulation import Distribution, Model, StepModel
from penstock._simulation._toml import written
from simulation.service import approval, desk, support

FULL: dict[str, Any] = {
    "format": 1,
    "workflow": "support",
    "version": "1.0.0",
    "graph": "ab12",
    "fitted": {
        "runs": 12000,
        "since": "2026-11-01T00:00:00Z",
        "until": "2026-11-08T00:00:00Z",
        "draft": True,
        "gaps": ["step draft: 12 attempts", 'tier "large" was never explored'],
    },
    "arrivals": {"kind": "bursty", "rate": 20.0, "burst": 4.0, "calm": 60.0, "busy": 15.0},
    "tenants": {"acme": 0.3, "other & co": 0.7},
    "frailty": {"sigma": 0.4},
    "outages": [
        {"queue": "gpt", "every": 86400.0, "lasts": 60.0, "error": 0.9, "slower": 2.0},
        {"queue": "gpt", "at": [[600.0, 660.0], [700.0, 701.5]]},
    ],
    "steps": {
        "classify": {"latency": {"kind": "constant", "value": 0.1}},
        "draft": {
            "latency": {"kind": "lognormal", "median": 0.4, "sigma": 0.6},
            "failed_latency": {"kind": "samples", "values": [i / 100 for i in range(200)]},
            "load": [[1.0, 1.0], [16.0, 1.1], [64.0, 1.6]],
            "failures": [
                {"error": 0.02, "fatal": 0.001, "hang": 0.0001},
                {"attempt": 2, "after": "error", "error": 0.2},
            ],
            "spend": [
                {
                    "resource": "gpt-4o:input",
                    "units": {"kind": "gamma", "mean": 900.0, "cv": 0.5},
                    "usd_per_unit": 0.0000025,
                },
                {
                    "resource": "fixed",
                    "units": {"kind": "constant", "value": 1.0},
                    "usd_per_unit": 1e-12,
                },
            ],
            "scores": [0.1, 0.4, 0.8],
            "scores_seen": "explored",
            "quality": 0.92,
            "attempts_seen": 1234,
        },
        "write up": {"latency": {"kind": "uniform", "low": 0.0, "high": 2.0}, "accepted": 0.7},
    },
    "choices": {
        "support/case": {"outcomes": {"high": 0.2, "low": 0.8}},
        "support/refine": {"until": [0.5, 0.7]},
        "support/pages": {"count": {"kind": "exponential", "mean": 3.0}},
        "support/one": {"keys": 20},
    },
    "signals": {
        "approval": {
            "answered": 0.98,
            "staff": 3,
            "minutes": {"kind": "gamma", "mean": 4.0, "cv": 0.8},
            "hours": "09:00-17:00",
            "days": "mon-fri",
            "usd_per_hour": 40.0,
            "role": "reviewer",
        }
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """`FULL` with something else at a place; `...` takes it out."""
    content = copy.deepcopy(FULL)
    *way, last = path.split("|")
    part: Any = content
    for key in way:
        part = part[int(key) if key.isdigit() else key]
    if value is ...:
        del part[last]
    else:
        part[int(last) if last.isdigit() else last] = value
    return content


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_file_gives_the_same_model_back(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"m{suffix}"
    model = Model.from_dict(FULL)
    model.write(file, comments=["by hand"])
    assert Model.read(file) == model
    assert Model.read(file).to_dict() == model.to_dict() == FULL
    assert "20.0" in repr(model)
    assert model.digest == Model.from_dict(FULL).digest
    assert max(map(len, file.read_text("utf-8").splitlines())) <= 110


numbers = st.floats(0, 1e6) | st.sampled_from([1e-12, 2.5e-6, 1e-300])
plain = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=60,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(), plain, max_size=6))
def test_what_is_written_as_toml_reads_back_the_same(content: dict[str, Any]) -> None:
    assert tomllib.loads(written(content)) == content


def test_a_price_is_exact_and_survives_the_file(tmp_path: Path) -> None:
    content = changed("steps|draft|spend|0|usd_per_unit", 0.000000075001)
    Model.from_dict(content).write(tmp_path / "m.toml")
    assert "usd_per_unit = 0.000000075001" in (tmp_path / "m.toml").read_text("utf-8")
    row = Model.read(tmp_path / "m.toml").steps["draft"].spend[0]
    assert row.nanos_per_million == 75_001_000
    short = changed("steps|draft|spend|1", {"resource": "fixed", "usd": 0.0012})
    assert Model.from_dict(short).steps["draft"].spend[1].mean_usd == 0.0012


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("format", 2, "has format 2; write format = 1"),
        ("format", ..., "has no format"),
        ("workflow", ..., "has no 'workflow'; add it"),
        ("workflow", " ", "workflow is ' '"),
        ("arrivals", ..., "has no 'arrivals'; add it"),
        ("arrivals|rate", -1, "arrivals: rate is -1"),
        ("arrivals|rate", ..., "there is no 'rate'; give it"),
        ("arrivals|gaps", [1.0], "there is 'gaps'; take it out"),
        ("arrivals|kind", "posson", "arrivals: kind is 'posson'; give 'poisson'"),
        ("arrivals|burst", 1, "arrivals: burst is 1"),
        ("arrivals", {"kind": "trace", "gaps": [0, 0]}, "arrivals: gaps are all 0"),
        ("arrivals", {"kind": "poisson", "rate": 1, "speed": 2}, "speed is for a trace"),
        ("tenants|acme", 0.4, "tenants: tenants add up to 1.1; make them add up to 1"),
        ("tenants|acme", "many", "tenants: acme is 'many'; give a probability"),
        ("frailty|sigma", -0.1, "frailty: sigma is -0.1"),
        ("frailty|mean", 1.0, "its only key is sigma"),
        ("fitted|draft", "no", "fitted: draft is 'no'; give true or false"),
        ("fitted|gaps", "none", "fitted: gaps is 'none'; give a list"),
        ("outages|0|every", ..., "outages[1]: its times are missing, or told twice"),
        ("outages|1|at", [[9, 3]], "outages[2]: at[1] is [9, 3]"),
        ("outages|1|at", [[0, 3], [2, 5]], "outages[2]: at[2] is [2, 5]"),
        ("outages|0|error", 1.5, "outages[1]: error is 1.5; give a probability"),
        ("steps", {}, "the model has no steps"),
        ("steps|draft", 3, "steps.draft: is 3; write a table"),
        ("steps|draft|latency", ..., "steps.draft: has no 'latency'; add it"),
        ("steps|draft|latency|median", -1, "steps.draft.latency: median is -1; give a finite"),
        ("steps|draft|latency|median", math.nan, "steps.draft.latency: median is nan"),
        ("steps|draft|latency|median", math.inf, "steps.draft.latency: median is inf"),
        ("steps|draft|latency|sigma", ..., "a lognormal has no 'sigma'; add it"),
        ("steps|draft|latency|mean", 1, "a lognormal has no key 'mean'; did you mean 'median'?"),
        ("steps|draft|latency|kind", "log", "kind is 'log'; "),
        ("steps|draft|latency", {"kind": "samples", "values": []}, "values is []"),
        ("steps|draft|latency", {"kind": "samples", "values": [2, 1]}, "values[2] is 1, after 2"),
        ("steps|write up|latency|low", 3, 'steps."write up".latency: low is 3, above high'),
        ("steps|draft|latencies", 1, "there is no key 'latencies'; did you mean 'latency'?"),
        ("steps|draft|load", [[1, 1], [1, 2]], "load[2] is not above the one before"),
        ("steps|draft|load", [[1, 0]], "the factor of load[1] is 0"),
        ("steps|draft|load", [3], "load[1] is 3; give pairs"),
        ("steps|draft|failures|0|error", 0.9999, "steps.draft.failures[1]: error, fatal and hang"),
        ("steps|draft|failures|1|attempt", 1, "failures[2]: attempt 1 comes after 'error'"),
        ("steps|draft|failures|1|after", "fatal", "failures[2]: after is 'fatal'"),
        ("steps|draft|failures", {}, "steps.draft.failures: is {}; write a list"),
        ("steps|draft|spend|0", {}, "spend[1]: has no 'resource'; add it"),
        ("steps|draft|spend|0", 1, "spend[1]: is 1; write a table"),
        ("steps|draft|spend|0|usd", 1.0, "has two amounts; give units and usd_per_unit, or usd"),
        ("steps|draft|spend|0|usd_per_unit", ..., "spend[1]: has no 'usd_per_unit'; add it"),
        ("steps|draft|spend|0|units|mean", "many", "draft.spend[1].units: mean is 'many'"),
        ("steps|draft|spend|0|usd_per_unit", 1e-13, "give at most 12 decimals"),
        ("steps|draft|spend|1|resource", "gpt-4o:input", "spend has 'gpt-4o:input' twice"),
        ("steps|draft|accepted", 0.5, "there are both 'accepted' and 'scores'"),
        ("steps|draft|scores", [0.5, 0.1], "scores[2] is 0.1, after 0.5"),
        ("steps|draft|scores_seen", "some", "scores_seen is 'some'"),
        ("steps|draft|quality", 1.1, "quality is 1.1; give a probability"),
        ("choices|support/case|outcomes|high", 0.1, "outcomes add up to 0.9"),
        ("choices|support/case|outcomes", {}, "none of outcomes, until, count and keys"),
        ("choices|support/case|keys", 3, "2 of outcomes, until, count and keys"),
        ("choices|support/refine|until", [2], 'choices."support/refine": until[1] is 2'),
        ("choices|support/one|keys", 0, 'choices."support/one": keys is 0'),
        ("signals|approval|staff", ..., "nothing tells when it comes"),
        ("signals|approval|minutes", ..., "staff is given without minutes"),
        ("signals|approval|hours", "9-5", "hours is '9-5'; write it as 09:00-17:00"),
        ("signals|approval|hours", "17:00-09:00", "write it as 09:00-17:00, within a day"),
        ("signals|approval|days", "mon-fry", "days is 'mon-fry'"),
        ("signals|approval|answered", -0.1, "signals.approval: answered is -0.1"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(path: str, value: Any, told: str) -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        Model.from_dict(changed(path, value))
    assert told in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    content = changed("steps|draft|latency|median", -1)
    content["arrivals"]["rate"] = 0
    content["tenants"]["acme"] = 1
    file = tmp_path / "m.json"
    file.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ps.DefinitionError, match=r"m\.json has 3 problems") as caught:
        Model.read(file)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("m.toml", "format = ", "write it as TOML"),
        ("m.json", "{", "write it as JSON"),
        ("m.json", "[]", "write a table of keys and values"),
        ("m.toml", "", "has no format"),
        ("m.yaml", "", "let its name end in .toml or .json"),
        ("m.toml", None, "can't be read"),
    ],
)
def test_a_file_that_is_none_is_refused(
    tmp_path: Path, name: str, text: str | None, told: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(ps.DefinitionError) as caught:
        Model.read(tmp_path / name)
    assert told in str(caught.value)


def test_a_file_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ps.DefinitionError, match="can't be written"):
        Model.from_dict(FULL).write(tmp_path / "nowhere" / "m.toml")


SECONDS = {"classify": 0.1, "approval": 3600.0}


def test_a_model_to_start_from_knows_what_the_workflow_says() -> None:
    model = Model.of(support, latency=SECONDS, default_latency=0.5, rate=3.0)
    assert model.check(support) == ()
    assert model.steps["classify"].latency == Distribution.constant(0.1)
    assert model.steps["large"].latency == Distribution.constant(0.5)
    assert model.steps["large"].mean_usd == pytest.approx(0.01)
    assert model.steps["small"].accepted == 0.5
    assert model.signals["approval"].latency == Distribution.constant(3600.0)
    assert model.choices["support/case"].outcomes == {"high": 0.5, "low": 0.5}
    assert model.arrivals.mean_rate == 3.0
    # Every decision of the workflow is one that the file can hold.
    assert Model.from_dict(model.to_dict()) == model


def test_a_latency_that_nobody_gives_is_asked_for() -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        Model.of(support, latency={"clasify": 0.1, "small": 0.2})
    text = str(caught.value)
    assert "'clasify', which it does not have; did you mean 'classify'?" in text
    assert "the latency of classify, large, refund, search, page, polish is not known" in text
    assert "when signal approval is answered is not known" in text


def started(**changes: Any) -> Model:
    """A model of `support` with some parts changed or taken out."""
    content = Model.of(support, latency=SECONDS, default_latency=0.5).to_dict()
    for path, value in changes.items():
        table, _, name = path.partition("__")
        if value is None:
            del content[table][name.replace("_in_", "/")]
        elif name:
            content[table][name.replace("_in_", "/")] = value
        else:
            content[table] = value
    return Model.from_dict(content)


LATENCY = {"latency": {"kind": "constant", "value": 1.0}}


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (started(workflow="other"), "it is a model of workflow 'other'"),
        (started(steps__larg=LATENCY), "no step 'larg'; did you mean 'large'?"),
        (started(steps__large=None), "[steps.large] is missing, for node 'support/answer/large'"),
        (started(steps__small=LATENCY), "judges its values, and there is no 'accepted'"),
        (started(choices__support_in_case=None), '[choices."support/case"] is missing'),
        (
            started(choices__support_in_cases={"keys": 1}),
            "no node that decides 'support/cases'; did you mean 'support/case'?",
        ),
        (started(choices__support_in_case={"keys": 1}), "gives keys; give 'outcomes'"),
        (
            started(choices__support_in_case={"outcomes": {"hihg": 1.0}}),
            "there is no outcome 'hihg'; did you mean 'high'?",
        ),
        (started(signals__approvals=LATENCY), "no signal 'approvals'; did you mean 'approval'?"),
        (started(signals__approval=None), "[signals.approval] is missing"),
        (
            started(outages=[{"queue": "gtp", "at": [[0, 1]]}]),
            "no step waits in queue 'gtp'; did you mean 'gpt'?",
        ),
    ],
)
def test_a_model_of_something_else_is_refused(model: Model, told: str) -> None:
    with pytest.raises(ps.DefinitionError) as caught:
        model.check(support)
    assert told in str(caught.value)


def test_what_may_be_meant_is_a_warning() -> None:
    content = started().to_dict()
    content |= {"version": "0.9", "graph": "old"}
    content["fitted"] = {"runs": 12, "since": "then", "until": "now", "draft": True}
    warnings = Model.from_dict(content).check(support)
    assert warnings[0] == "it is a model of version 0.9, and this is 1.0.0"
    assert "graph has changed" in warnings[1]
    assert warnings[2] == "it is a draft, of 12 runs"


def test_a_desk_tells_when_it_works() -> None:
    signal = Model.from_dict(FULL).signals["approval"]
    assert signal.working == ((9 * 3600.0, 17 * 3600.0), frozenset(range(5)))
    assert desk(days="sat-mon,wed").working[1] == frozenset({5, 6, 0, 2})
    assert approval.name in Model.of(support, latency=SECONDS, default_latency=1.0).signals


def test_the_last_row_that_fits_holds() -> None:
    step = Model.from_dict(FULL).steps["draft"]
    assert step.failure(1).error == 0.02
    assert step.failure(3, after="error").error == 0.2
    assert step.failure(3, after="timeout").error == 0.02
    assert StepModel(latency=Distribution.constant(1.0)).failure(1).total == 0


def test_a_score_is_accepted_from_the_threshold_on() -> None:
    step = Model.from_dict(FULL).steps["draft"]
    assert [step.accepts(at) for at in (0.0, 0.4, 0.5, 0.9)] == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert Model.from_dict(FULL).steps["write up"].accepts(0.3) == 0.7
