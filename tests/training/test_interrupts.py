"""Signals: a request while steps are done, an exception elsewhere."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from qakit.training.interrupts import HANGUP, TERMINATIONS, TerminationError, stop_requests, termination_as_error


@pytest.mark.parametrize("number", TERMINATIONS)
def test_the_first_signal_is_a_request_and_the_second_one_ends(number: signal.Signals) -> None:
    before, requested = signal.getsignal(number), []
    with pytest.raises(TerminationError) as caught, termination_as_error(), stop_requests() as request:
        os.kill(os.getpid(), number)
        requested.append(request.signal)
        os.kill(os.getpid(), number)
    assert requested == [number]
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


@pytest.mark.skipif(HANGUP is None, reason="this system has no SIGHUP")
def test_under_nohup_the_terminal_may_go() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with termination_as_error(), stop_requests() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            assert request.signal == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_handler_of_somebody_else_stays() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with termination_as_error():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_outside_the_main_thread_nothing_is_caught() -> None:
    requests: list[int] = []

    def work() -> None:
        with termination_as_error(), stop_requests() as request:
            requests.append(request.signal)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert requests == [0]
