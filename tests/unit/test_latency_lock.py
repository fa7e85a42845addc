import threading

from trainables.latency import lock
from trainables.latency.lock import measuring_alone


def test_a_second_measurement_waits_for_the_first_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "lock_path", lambda: tmp_path / "lock")
    events = []
    is_waiting = threading.Event()

    def wait():
        events.append("waits")
        is_waiting.set()

    def second():
        with measuring_alone(wait):
            events.append("second")

    with measuring_alone(lambda: events.append("never")):
        thread = threading.Thread(target=second)
        thread.start()
        assert is_waiting.wait(timeout=60)
        events.append("first")
    thread.join(timeout=60)
    assert events == ["waits", "first", "second"]


def test_an_error_frees_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "lock_path", lambda: tmp_path / "lock")
    waits = []
    for _ in range(2):
        try:
            with measuring_alone(lambda: waits.append(1)):
                raise KeyError
        except KeyError:
            pass
    assert not waits
