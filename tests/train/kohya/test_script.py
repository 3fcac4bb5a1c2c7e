"""Scripts: what cmd.exe, sh and PowerShell would start, by their documented rules."""

from __future__ import annotations

import pytest

from lib_lyco.errors import ConfigError
from lib_lyco.train.kohya.script import read_command

BATCH = r"""@echo off
chcp 65001
rem ---- settings ----
set sd_path="X:\sd-scripts"
:: another comment
set model="X:\models (old)\base & more.ckpt"
set "rate=1e-3"
set reg_path=""
rem set reg_path="X:\reg"
set json_file=""
set mode=""
if %json_file%=="" (
rem folders
if %reg_path%=="" (
set mode=--train_data_dir="X:\data"
) else (
set mode=--train_data_dir="X:\data" --reg_data_dir=%reg_path%
)
) else (
set mode=--in_json=%json_file%
)
cd /d %sd_path%
call venv\Scripts\activate.bat & call :main & pause & exit
:main
accelerate launch --num_cpu_threads_per_process 4 train_network.py ^
--pretrained_model_name_or_path=%model% ^
%mode% ^
--learning_rate=%rate% ^
--network_args "conv_dim=8" "algo=loha" ^
--vae=%nothing% ^
--shuffle_caption
exit /b
rem after the end
"""


def test_a_batch_file_with_variables_conditions_carets_and_a_called_part() -> None:
    command = read_command(BATCH, "train.bat")
    assert command.trainer == "train_network.py"
    assert command.launch == ("accelerate", "launch", "--num_cpu_threads_per_process", "4")
    assert command.arguments == (
        r"--pretrained_model_name_or_path=X:\models (old)\base & more.ckpt",
        r"--train_data_dir=X:\data",
        "--learning_rate=1e-3",
        "--network_args",
        "conv_dim=8",
        "algo=loha",
        "--vae=",
        "--shuffle_caption",
    )


def test_the_other_branches_of_the_same_file() -> None:
    with_reg = BATCH.replace('set reg_path=""', r'set reg_path="X:\reg"', 1)
    assert r"--reg_data_dir=X:\reg" in read_command(with_reg).arguments
    with_json = BATCH.replace('set json_file=""', r'set json_file="X:\a.json"', 1)
    arguments = read_command(with_json).arguments
    assert r"--in_json=X:\a.json" in arguments
    assert not any(word.startswith("--train_data_dir") for word in arguments)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # a block is filled in when it is read: cmd's well-known trap, and its remedy
        ("set a=1\nif 1==1 (\nset a=2\npython train_network.py --seed=%a%\n)", "--seed=1"),
        ("set a=1\nif 1==1 (\nset a=2\npython train_network.py --seed=!a!\n)", "--seed=2"),
        ("if 1==2 (set a=1) else (set a=2)\npython train_network.py --seed=%a%", "--seed=2"),
        ('if /i "A"=="a" set a=1\npython train_network.py --seed=%A%', "--seed=1"),
        ("if not defined a set a=3\npython train_network.py --seed=%a%", "--seed=3"),
        ("set a=1\ngoto on\nset a=2\n:on\npython train_network.py --seed=%a%", "--seed=1"),
        ('set a=5\n@python "C:\\my scripts\\train_network.py" --seed=%a% && pause', "--seed=5"),
        ("if 1==2 (\nset a=1\n) else if 1==1 (\nset a=4\n)\ntrain_network.py --seed=%a%", "--seed=4"),
    ],
)
def test_rules_of_cmd(script: str, expected: str) -> None:
    assert read_command(script).arguments == (expected,)


def test_a_pasted_windows_line_keeps_its_backslashes() -> None:
    line = r"`accelerate launch train_network.py --train_data_dir=H:\a\new --text_encoder_lr 5e-5 --seed=1`"
    assert read_command(line).arguments == (
        r"--train_data_dir=H:\a\new",
        "--text_encoder_lr",
        "5e-5",
        "--seed=1",
    )


def test_a_shell_script() -> None:
    script = """#!/bin/bash
export MODEL="/models/base model.safetensors"  # the base
RATE=1e-4
accelerate launch --num_processes=2 \\
  sdxl_train_network.py --pretrained_model_name_or_path="$MODEL" \\
  --learning_rate=${RATE} --network_args 'algo=lokr'
"""
    command = read_command(script)
    assert command.trainer == "sdxl_train_network.py"
    assert command.arguments == (
        "--pretrained_model_name_or_path=/models/base model.safetensors",
        "--learning_rate=1e-4",
        "--network_args",
        "algo=lokr",
    )


def test_powershell() -> None:
    script = """$rate = "2e-4" # fast
$dir = 'D:\\data set'
accelerate launch "./train_network.py" `
  --learning_rate=$rate `
  --train_data_dir="$dir"
"""
    assert read_command(script).arguments == ("--learning_rate=2e-4", r"--train_data_dir=D:\data set")


def test_a_line_that_a_page_has_wrapped() -> None:
    # as the memo of LoRA training quotes sd-scripts' own guide: no sign at the ends of lines
    pasted = (
        "accelerate launch --num_cpu_threads_per_process 12 train_network.py\n"
        "--train_data_dir=..\\data\\char1 --output_dir=..\\lora\n"
        "--reg_data_dir=..\\data\\reg1 --prior_loss_weight=1.0\n--color_aug"
    )
    assert read_command(pasted).arguments == (
        r"--train_data_dir=..\data\char1",
        r"--output_dir=..\lora",
        r"--reg_data_dir=..\data\reg1",
        "--prior_loss_weight=1.0",
        "--color_aug",
    )
    assert read_command("--seed=1\n--network_dim=8").arguments == ("--seed=1", "--network_dim=8")


def test_a_batch_file_with_a_folder_that_ends_in_a_backslash() -> None:
    line = "python train_network.py --train_data_dir=%data% --output_dir=%out%"
    script = f"set data=X:\\cats\\\nset out=..\\lora\\\n{line}"
    expected = ("--train_data_dir=X:\\cats\\", "--output_dir=..\\lora\\")
    assert read_command(script).arguments == expected
    assert read_command(script, "a.bat", ".bat").arguments == expected


def test_a_shell_script_may_set_and_echo_as_well() -> None:
    script = "#!/bin/sh\nset -e\necho starting\npython train_network.py \\\n  --train_data_dir=my\\ cats"
    assert read_command(script).arguments == ("--train_data_dir=my cats",)
    bare = script.partition("\n")[2]
    assert read_command(bare, "a.sh", ".sh").arguments == ("--train_data_dir=my cats",)
    assert read_command(bare).arguments == ("--train_data_dir=my cats",)


def test_flags_alone() -> None:
    assert read_command("--network_dim=8 --seed 3").arguments == ("--network_dim=8", "--seed", "3")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo hello\npause", "starts no training"),
        ("set /p rate=How fast?\ntrain_network.py --learning_rate=%rate%", "line 1"),
        ("if %a% gtr 3 (\nset b=1\n)\ntrain_network.py", "line 1"),
        ("@echo off\n:a\ngoto a", "never ends"),
        ("@echo off\ngoto nowhere", "jumps to nowhere"),
        ("if 1==1 (\nset a=1", "never closed"),
        ("python train_network.py --a\\\n'", "cannot be read"),
        ("train_network.py --seed=1\ntrain_network.py --seed=2", "more than one"),
    ],
)
def test_what_cannot_be_followed_is_told(script: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_command(script, "x.bat")
