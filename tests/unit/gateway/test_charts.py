from dataclasses import replace

from pinetune.gateway.charts import Chart, charts_of
from pinetune.gateway.records import JobHistory


def test_every_chart_has_one_y_axis_and_names_both_axes(trained: JobHistory) -> None:
    charts = charts_of(trained)
    assert [chart.title for chart in charts] == [
        "Warm-up loss",
        "Reward",
        "KL to the reference policy",
        "Length of completions",
        "Sampling speed",
        "Completions cut off and ungraded",
    ]
    for chart in charts:
        layout = _layout(chart)
        assert not [name for name in layout if name.startswith("yaxis") and name != "yaxis"]
        assert _axis_name(chart, "xaxis") in ("training step", "warm-up step")
        assert _axis_name(chart, "yaxis")


def test_a_legend_is_there_only_for_several_series(trained: JobHistory) -> None:
    with_legend = {chart.title for chart in charts_of(trained) if _layout(chart)["showlegend"]}
    assert with_legend == {"Reward", "Completions cut off and ungraded"}


def test_validation_has_a_band_from_low_to_high_at_its_steps(trained: JobHistory) -> None:
    reward = next(chart for chart in charts_of(trained) if chart.title == "Reward")
    low, high, middle, training = _series(reward)
    assert low["x"] == high["x"] == middle["x"] == [0, 5, 10]
    assert low["y"] == [s.validation.low for s in trained.training if s.validation]
    assert high["y"] == [s.validation.high for s in trained.training if s.validation]
    assert high["fill"] == "tonexty"
    assert training["x"] == list(range(1, 11))


def test_a_single_validation_has_an_error_bar_instead_of_a_band(trained: JobHistory) -> None:
    steps = [replace(step, validation=step.validation if step.number == 10 else None) for step in trained.training]
    reward = next(chart for chart in charts_of(replace(trained, training=steps)) if chart.title == "Reward")
    assert [series["error_y"] for series in _series(reward) if "error_y" in series]


def test_what_was_never_measured_has_no_chart(trained: JobHistory) -> None:
    assert charts_of(replace(trained, warm_up=[], training=[])) == []
    assert [chart.title for chart in charts_of(replace(trained, training=[]))] == ["Warm-up loss"]


def _layout(chart: Chart) -> dict[str, object]:
    layout = chart.figure["layout"]
    assert isinstance(layout, dict)
    return layout


def _axis_name(chart: Chart, axis: str) -> str:
    found = _layout(chart)[axis]
    assert isinstance(found, dict)
    return str(found["title"]["text"])


def _series(chart: Chart) -> list[dict[str, object]]:
    data = chart.figure["data"]
    assert isinstance(data, list)
    return data
