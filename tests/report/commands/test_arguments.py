"""One module turns the parameters of click into keyword arguments of the engine."""

import inspect

import pytest

from attentropy.engine.profile.profile import profile
from attentropy.engine.run.extract import extract
from attentropy.report.commands.arguments import run_arguments
from attentropy.report.commands.extract import command as extract_command
from attentropy.report.commands.info import command as info_command
from attentropy.report.commands.profile import command as profile_command

_OWN = {"target", "force", "as_json", "redact_tokens", "resume", "keep_cache"}
_EVERYTHING = [
    "folder", "-p", "hello", "--system", "s", "--question", "q", "--template-args",
    '{"a": 1}', "--no-chat-template", "--revision", "r", "--dtype",
    "float32", "--device", "cpu", "--quantize", "8bit", "--stats", "entropy, lse", "--layers", "0",
    "--heads", "mean", "--lens", "mlp,residual", "--lens-layers", "1", "--lens-positions", "-8:",
    "--map-tile", "64", "--map-heads", "all", "--window", "-4:,0:4", "--no-scores",
    "--thumbnails", "--context",
    "--no-reference",
    "--max-new-tokens", "3", "--top-k", "2", "--chunk", "9", "--memory", "2GiB", "--storage",
    "float16",
]  # fmt: skip


def _parameters(command, *arguments):
    parameters = command.make_context(command.name, list(arguments)).params
    return {name: value for name, value in parameters.items() if name not in _OWN}


def test_every_option_of_a_run_reaches_extract():
    arguments = run_arguments(_parameters(extract_command, *_EVERYTHING))
    assert arguments == {
        "model": "folder", "prompt": "hello", "system": "s", "question": "q",
        "template_args": {"a": 1}, "chat_template": False,
        "revision": "r", "dtype": "float32", "device": "cpu", "quantize": "8bit",
        "stats": "entropy, lse", "layers": "0", "heads": "mean", "lens": "mlp,residual",
        "lens_layers": "1", "lens_positions": "-8:", "map_tile": "64", "map_heads": "all",
        "windows": ("-4:,0:4",), "scores": False, "thumbnails": True, "context": True,
        "reference": False,
        "max_new_tokens": 3, "top_k": 2, "chunk": 9, "memory": 2**31, "storage": "float16",
    }  # fmt: skip
    inspect.signature(extract).bind(**arguments)


@pytest.mark.parametrize(
    ("command", "function"), [(extract_command, extract), (profile_command, profile)]
)
def test_options_that_were_not_given_are_the_defaults_of_the_engine(command, function):
    arguments = run_arguments(_parameters(command))
    parameters = inspect.signature(function).parameters
    for name, value in arguments.items():
        assert value == parameters[name].default, name


def test_info_has_the_options_of_a_run_without_their_defaults():
    parameters = _parameters(info_command, "--tokens", "4k")
    assert parameters.pop("tokens") == 4096
    assert parameters.pop("verify") is False
    assert run_arguments(parameters) == {}
    run_parameters = _parameters(
        info_command, "--chunk", "2k", "--lens", "none", "--stats", "entropy"
    )
    for of_traces in ("verify", "max_cells"):
        del run_parameters[of_traces]
    assert run_arguments(run_parameters) == {"chunk": 2048, "lens": "none", "stats": "entropy"}
    assert set(run_parameters) - {"subject", "revision", "tokens"} <= set(
        _parameters(extract_command)
    )
