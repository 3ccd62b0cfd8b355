"""Waves and incidents."""

from __future__ import annotations

import itertools

from deploy.demo.weather import INCIDENT_EVERY_S, INCIDENT_LASTS_S, INCIDENTS, WAVE_S, weather


def test_over_a_wave_the_load_is_one_on_average_and_never_stops():
    loads = [weather(second).load for second in range(int(WAVE_S))]
    assert abs(sum(loads) / len(loads) - 1) < 0.01
    assert min(loads) >= 0.5
    assert max(loads) <= 1.5


def test_incidents_take_turns_and_end():
    seconds = range(1200)
    names = [weather(second).incident for second in seconds]
    begins = [s for s in seconds if names[s] is not None and (s == 0 or names[s - 1] is None)]
    assert begins[0] == 60
    assert all(later - earlier == INCIDENT_EVERY_S for earlier, later in itertools.pairwise(begins))
    assert [names[s] for s in begins[:2]] == list(INCIDENTS)
    assert sum(name is not None for name in names[:240]) == INCIDENT_LASTS_S
