"""Flags, params, JSON and fingerprints describe one configuration, and wrong values are refused in one line."""

import pytest

from lmc_mlflow.config.canonical import fingerprint, from_nested, parameters, to_nested, to_params
from lmc_mlflow.config.commands import COMMANDS, InterpolateConfig, MainConfig, TrainPairConfig
from lmc_mlflow.config.flags import flag_parser, parse_flags
from lmc_mlflow.config.options import read_value, write_value


def train_pair(*flags: str) -> TrainPairConfig:
    return parse_flags("train_pair", TrainPairConfig, flags)


def test_flags_become_fields() -> None:
    config = train_pair("--shift", "label_2080", "--lr=1e-3", "--nesterov", "false", "--seed", "7")
    assert config.data.shift == "label_2080"
    assert config.optimization.lr == 0.001
    assert config.model.seed == 7


@pytest.mark.parametrize("name", COMMANDS)
def test_every_default_survives_the_way_through_text(name: str) -> None:
    for parameter in parameters(COMMANDS[name].config).values():
        text = write_value(parameter.default)
        assert read_value(parameter.name, parameter.kind, text) == parameter.default
        assert parameter.rule.help


@pytest.mark.parametrize("name", COMMANDS)
def test_help_describes_the_command_and_names_every_parameter(name: str) -> None:
    command = COMMANDS[name]
    text = flag_parser(name, command.config).format_help()
    assert command.description in text
    for parameter in parameters(command.config):
        assert f"--{parameter} VALUE" in text


def test_help_lists_choices_and_the_forms_of_open_ended_values() -> None:
    catalogues = {"dataset": ["digits", "mnist"], "shift": ["label_XXYY"]}
    text = flag_parser("train_pair", TrainPairConfig, catalogues).format_help()
    assert "one of: same, different\n" in text
    assert "one of: digits, mnist\n" in text
    assert "one of: label_XXYY\n" in text
    assert (
        "one of: bigearthnet, imagefolder\n"
        in flag_parser("prepare_data", COMMANDS["prepare_data"].config).format_help()
    )


def test_a_configuration_comes_back_from_its_json() -> None:
    config = train_pair("--lr", "0.01", "--noise_seed", "3", "--image_size", "8", "--deterministic", "true")
    assert from_nested(TrainPairConfig, to_nested(config)) == config


def test_params_are_canonical_and_hold_the_defaults() -> None:
    params = to_params(train_pair("--lr", "1e-3"))
    assert params["optimization.lr"] == "0.001"
    assert params["resume.force"] == "false"
    assert params["noise.noise_seed"] == "auto"
    assert (
        to_params(parse_flags("interpolate", InterpolateConfig, ["--pair", "x"]))["path.splits"]
        == "test,train_a,train_b"
    )


def test_a_fingerprint_is_of_what_decides_the_result() -> None:
    plain = fingerprint(train_pair())
    assert fingerprint(train_pair("--lr", "0.0010")) == plain
    assert fingerprint(train_pair("--device", "cpu", "--data_root", "elsewhere", "--force", "true")) == plain
    assert fingerprint(train_pair("--lr", "0.002")) != plain
    assert fingerprint(train_pair("--seed", "2")) != fingerprint(train_pair("--split_seed", "2"))


def test_a_command_s_own_defaults_do_not_change_what_its_fingerprint_means() -> None:
    main = parse_flags("main", MainConfig, [])
    pair = train_pair("--epochs", "30", "--model", main.model.model)
    assert main.optimization == pair.optimization
    assert fingerprint(TrainPairConfig(model=main.model, optimization=main.optimization)) == fingerprint(pair)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shfit", "none"], "flag '--shfit' is unknown \\(did you mean '--shift'\\?\\)"),
        (["--shift"], "expected one argument"),
        (["label_2080"], "every value belongs to a flag"),
        (["--lr", "abc"], "lr='abc': give a number"),
        (["--lr", "nan"], "lr=nan: give a finite number"),
        (["--lr", "0"], "lr=0.0: must be greater than 0"),
        (["--epochs", "0"], "epochs=0: must be at least 1"),
        (["--epochs", "1.5"], "epochs='1.5': give a whole number"),
        (["--force", "maybe"], "force='maybe': give true or false"),
        (["--noise", "sam"], "noise 'sam' is unknown \\(did you mean 'same'\\?\\); choose from different, same"),
        (["--momentum", "0.9"], "momentum and nesterov belong to optimizer=sgd"),
        (["--optimizer", "sgd", "--nesterov", "true"], "needs a momentum above 0"),
        (["--noise_scope", "paper", "--noise_seed", "1"], "leave noise_seed at auto"),
        (["--warmup_epochs", "100"], "must be below epochs=100"),
    ],
)
def test_nonsense_is_refused_by_name(flags: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_pair(*flags)


@pytest.mark.parametrize(
    "flags", [[], ["--run_a", "x"], ["--pair", "x", "--run_a", "y"], ["--pair", "x", "--run_a", "y", "--run_b", "z"]]
)
def test_a_path_needs_one_pair_or_two_runs(flags: list[str]) -> None:
    with pytest.raises(ValueError, match="give either pair=<pair run id> or both"):
        parse_flags("interpolate", InterpolateConfig, flags)


@pytest.mark.parametrize("splits", ["", "test,test", "tset"])
def test_splits_are_named_once_and_rightly(splits: str) -> None:
    with pytest.raises(ValueError, match="splits"):
        parse_flags("interpolate", InterpolateConfig, ["--pair", "x", "--splits", splits])
