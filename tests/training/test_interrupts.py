"""Signals: a request while steps are done, an exception elsewhere."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from qakit.training.interrupts import TerminationError, stop_requests, termination_as_error


def test_the_first_signal_is_a_request_and_the_second_one_ends() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TerminationError), termination_as_error(), stop_requests() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.signal == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


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
