from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ilk.config import Run, as_toml, changed, differences, load_run, run_from
from ilk.errors import ConfigError

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXT,
)
_OPTIONS = st.dictionaries(
    st.one_of(_TEXT.filter(bool), st.text(string.ascii_letters, min_size=1)),
    st.one_of(_SCALARS, st.lists(_SCALARS, max_size=3)),
    max_size=4,
)


@settings(deadline=None)
@given(
    options=_OPTIONS,
    seed=st.integers(0, 2**40),
    source=st.sampled_from(["a/b", 'C:\\x "y"', "d\x7f\n"]),
)
def test_a_run_survives_the_way_through_toml(
    options: dict[str, Any], seed: int, source: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = changed(Run(), {"seed": seed, "data.source": source})
    run = run_from({**run.as_dict(), "encoder": {"name": "timm", "options": options}})
    path = tmp_path_factory.getbasetemp() / "run.toml"
    path.write_text(as_toml(run), "utf-8")
    assert load_run(path) == run


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "optimizer.learnig_rate=0.1",
            r"optimizer\.learnig_rate: .*did you mean optimizer\.learning_rate\?",
        ),
        ("sede=1", r"sede: .*did you mean seed\?"),
        ("zzz.a=1", r"zzz: there is no such setting; there are augment, batch"),
        ("batch.classes=x", r"batch\.classes: expected a valid integer or 'auto', got 'x'"),
        ("batch.classes=1.5", r"batch\.classes: expected .*integer.* or 'auto', got 1\.5"),
        ("trainer.devices=true", r"trainer\.devices: expected a valid integer, got True"),
        ("trainer.precision=64", r"trainer\.precision: expected 'auto', 'float32'"),
        ("trainer.loggers=[1]", r"trainer\.loggers\.0: expected a valid string, got 1"),
        ("data.on_unreadable=never", r"data\.on_unreadable: expected 'stop' or 'skip'"),
        ("optimizer=3", r"optimizer: expected a table of settings, got 3"),
        ("seed=-1", r"seed: expected a number at least 0, got -1"),
        ("optimizer.learning_rate=nan", r"optimizer\.learning_rate: .* above 0, got nan"),
        ("data.validation_fraction=1", r"data\.validation_fraction: .*below 1, got 1"),
        ("trainer.average=1.0", r"trainer\.average: .*below 1, got 1\.0"),
        ("loss.options=3", r"loss\.options: expected .*(object|dictionary)"),
        ("encoder.options.a=1979-05-27", r"a setting must be text, a number"),
        ("seed", r"expected key=value, such as seed=1, got 'seed'"),
        ("=3", r"expected key=value"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_path(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_run(overrides=[override])


def test_later_overrides_win_over_earlier_ones_and_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("seed = 1\n[batch]\nclasses = 8\n", "utf-8")
    run = load_run(path, ["seed=2", "seed=3"])
    assert (run.seed, run.batch.classes, run.batch.items_per_class) == (3, 8, "auto")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("true", True),
        ('"3"', "3"),
        ("resnet18", "resnet18"),
        ("/data/w.pth", "/data/w.pth"),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_values_are_toml_or_else_text(text: str, value: object) -> None:
    assert load_run(overrides=[f"loss.options.x={text}"]).loss.options == {"x": value}


def test_a_single_setting_has_no_settings_below_it() -> None:
    with pytest.raises(ConfigError, match="seed is a single setting, not a table"):
        load_run(overrides=["seed=1", "seed.x=2"])


def test_steps_and_epochs_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="say the same thing twice"):
        load_run(overrides=["schedule.steps=10", "schedule.epochs=2"])


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(b"seed = \xff")
    with pytest.raises(ConfigError, match=r"run\.toml is not a TOML file"):
        load_run(path)


def test_differences_name_what_differs() -> None:
    other = load_run(overrides=["loss.options.margin=0.3", "batch.classes=8"])
    assert list(differences(Run(), other)) == [
        ("batch.classes", "auto", 8),
        ("loss.options.margin", None, 0.3),
    ]


def test_every_example_in_the_repository_is_a_valid_run() -> None:
    examples = sorted((Path(__file__).parents[1] / "examples").glob("*.toml"))
    assert examples
    for path in examples:
        load_run(path)
