"""Any environment gives Settings or a SettingsError that is fit to print."""

from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config.addresses import broker_list, history_location
from config.errors import SettingsError
from config.settings import DECLARED, Settings
from config.wording import printable, quoted

# How long one example takes says nothing on a machine that is doing other things.
PATIENT = hypothesis_settings(deadline=None)

NAMES = st.sampled_from([declaration.env for declaration in DECLARED.values()])
VALUES = (
    st.text()
    | st.text("kafwebhdsile:/.@;?#%0129[]- \n\x00")
    | st.integers().map(str)
    | st.sampled_from([declaration.default for declaration in DECLARED.values()])
)
HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?(:[1-9][0-9]{0,3})?", fullmatch=True)
SEGMENTS = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable() and text not in {".", ".."})


@given(st.dictionaries(NAMES | st.text().map("SLUICE_{}".format), VALUES))
@PATIENT
def test_any_environment_is_read_or_refused_in_printable_lines(environ):
    try:
        settings = Settings.from_env(environ)
    except SettingsError as raised:
        error = raised
    else:
        assert settings.given == frozenset(environ)
        assert settings.retention_s % settings.window_s == 0
        assert settings.roles
        assert settings.bootstrap_servers
        return
    assert error.problems
    assert all(problem.isprintable() for problem in error.problems)
    assert all(problem.upper().startswith("SLUICE_") for problem in error.problems)


@given(st.text().map("SLUICE_{}".format), st.text())
@PATIENT
def test_no_unknown_name_gets_through(name, value):
    if name not in {declaration.env for declaration in DECLARED.values()}:
        with pytest.raises(SettingsError):
            Settings.from_env({name: value})


@given(
    st.sampled_from(["SLUICE_HISTORY", "SLUICE_BROKER", "SLUICE_ADDRESS"]),
    st.sampled_from(["webhdfs://", "webhdfss://", "kafka://", "https://", ""]),
    st.text(max_size=6),
    st.text(max_size=6),
    st.sampled_from(["@nn:9870/logs", "@h", "@h:1;u:p@h2:1", "@[::1]:1/x?y=z#f", "@"]),
)
@example("SLUICE_HISTORY", "", "", "://", "@nn:9870/logs")
@PATIENT
def test_a_password_is_never_told(name, scheme, before, after, rest):
    assume(scheme or not before.startswith("//"))  # then "user" is the scheme, and the secret a user's name
    secret = "Geheimnis7"
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({name: f"{scheme}user:{before}{secret}{after}{rest}"})
    assert secret not in str(raised.value)
    assert "user:***@" in str(raised.value)


@given(
    st.sampled_from(["webhdfs", "webhdfss"]),
    st.lists(HOSTS, min_size=1, max_size=3),
    st.none() | SEGMENTS,
    st.lists(SEGMENTS.filter(lambda text: "/" not in text), max_size=3),
)
@PATIENT
def test_a_history_address_is_read_back_from_its_text(scheme, hosts, user, path):
    userinfo = "" if user is None else f"{quote(user, safe='')}@"
    location = history_location(f"{scheme}://{userinfo}{';'.join(hosts)}/{'/'.join(map(quote, path))}")
    assert location.user == user
    assert location.path == "/" + "/".join(path)
    assert len(location.hosts) == len(location.urls) == len(hosts)
    assert history_location(str(location)) == location


@given(st.lists(HOSTS, min_size=1, max_size=3))
@PATIENT
def test_a_list_of_brokers_is_read_back_from_its_text(hosts):
    brokers = broker_list(";".join(hosts))
    assert broker_list(brokers) == brokers
    assert len(brokers.split(";")) == len(hosts)


@given(st.text() | st.text("\x00\x1b\u202e\ud800a"))
@PATIENT
def test_what_is_shown_is_printable(text):
    assert printable(text).isprintable()
    assert quoted(text).isprintable()
