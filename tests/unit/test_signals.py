import os
import signal

import pytest

from sweeps.signals import stop_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request(number):
    before = signal.getsignal(number)
    with stop_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(5)
        os.kill(os.getpid(), number)  # a second one changes nothing
    assert signal.getsignal(number) is before


def test_handlers_are_restored_after_an_error():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), stop_signals():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before
