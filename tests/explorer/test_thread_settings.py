from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from explorer.thread_settings import with_settings_of_this_thread


def settings() -> dict[str, Any]:
    return {
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "device": torch.get_default_device(),
        "dtype": torch.get_default_dtype(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "autocast dtype": torch.get_autocast_dtype("cpu"),
    }


def in_another_thread(function: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    assert found, "the function raised"
    return found[0]


@pytest.mark.parametrize(
    "mode",
    [
        torch.enable_grad,
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.device("meta"),
        lambda: torch.autocast("cpu", dtype=torch.float16),
    ],
    ids=["grad", "no grad", "inference", "device", "autocast"],
)
def test_another_thread_has_the_settings_of_the_one_that_asked(mode: Any) -> None:
    with mode():
        expected = settings()
        job = with_settings_of_this_thread(settings)
    assert in_another_thread(job) == expected
    assert in_another_thread(job) == expected, "a job may run twice"


def test_the_default_dtype_belongs_to_the_process() -> None:
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        assert in_another_thread(settings)["dtype"] is torch.float64
    finally:
        torch.set_default_dtype(before)


def test_arguments_and_result_are_passed_on() -> None:
    job = with_settings_of_this_thread(lambda a, *, b: (a, b))
    assert in_another_thread(lambda: job(1, b=2)) == (1, 2)
