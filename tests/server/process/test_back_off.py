"""How long a worker that died is left dead."""

from staunch_server.process.back_off import BackOff


def test_a_worker_that_dies_young_waits_twice_as_long_each_time_up_to_ten_seconds():
    back_off = BackOff()
    assert [back_off.after(lived_s=1.0) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert back_off.after(lived_s=29.9) == 10.0


def test_a_worker_that_lived_half_a_minute_begins_with_the_first_pause_again():
    back_off = BackOff()
    for _ in range(8):
        back_off.after(lived_s=1.0)
    assert [back_off.after(lived_s=30.0), back_off.after(lived_s=1.0)] == [0.2, 0.4]
