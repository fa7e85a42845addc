"""A worker's pulse."""

import time

import pytest

from trainables import pulse as pulse_module
from trainables.pulse import Pulse
from trainables.storage_outage import ride_out


def test_steps_are_counted_and_a_stall_is_not():
    sent = []
    pulse = Pulse(sent.append)
    pulse.beat()
    pulse.step()
    pulse.step()
    pulse.beat()
    pulse.beat()
    assert sent == [0, 2, 2]


def test_a_storage_outage_is_no_stall():
    sent = []
    pulse = Pulse(sent.append)
    waits = []

    def write():
        if len(waits) < 8:
            raise OSError(28, "No space left on device")

    def sleep(seconds):
        waits.append(seconds)
        pulse.beat()

    with pulse.waiting():
        ride_out(write, "a checkpoint", lambda _: None, sleep)
    assert sent == list(range(1, 9))
    pulse.beat()
    assert sent[-1] == sent[-2]


def test_a_wait_that_fails_ends_too():
    sent = []
    pulse = Pulse(sent.append)
    with pytest.raises(OSError, match="no bucket"), pulse.waiting():
        raise OSError("no bucket")
    pulse.beat()
    assert sent == [0]


def test_the_thread_sends_until_it_is_stopped(monkeypatch):
    monkeypatch.setattr(pulse_module, "BEAT_INTERVAL_S", 0.001)
    sent = []
    pulse = Pulse(sent.append)
    pulse.start()
    while len(sent) < 3:
        time.sleep(0.001)
    pulse.stop()
    pulse._thread.join()
    num_sent = len(sent)
    time.sleep(0.01)
    assert len(sent) == num_sent
