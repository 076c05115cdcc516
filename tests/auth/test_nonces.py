import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbind.auth.nonces import check_nonce, no_nonces, nonce_of, with_nonce
from flowbind.auth.replay import ReplayError

LOW_HALF = 0xFFFFFFFF

identifications = st.integers(0, (1 << 64) - 1)


@pytest.mark.rfc("5944", "5.7", "ID-2")
@given(nonce=st.integers(0, LOW_HALF), identification=identifications)
def test_a_reply_has_a_new_high_half_and_the_low_half_of_its_request(nonce, identification):
    replied = with_nonce(nonce, identification)
    assert nonce_of(replied) == nonce
    assert replied & LOW_HALF == identification & LOW_HALF
    assert 0 <= replied < 1 << 64


@pytest.mark.rfc("5944", "5.7.2", "ID-16")
@given(nonce=st.integers(0, LOW_HALF), identification=identifications)
def test_only_the_nonce_that_was_told_last_is_accepted(nonce, identification):
    check_nonce(with_nonce(nonce, identification), nonce)
    for expected in (None, nonce ^ 1):
        with pytest.raises(ReplayError) as caught:
            check_nonce(with_nonce(nonce, identification), expected)
        assert caught.value.reason == "nonce-not-the-last"


def test_where_there_is_no_source_there_is_no_nonce():
    complaint = "^an association wants nonces, and there is no source of them$"
    with pytest.raises(RuntimeError, match=complaint):
        no_nonces()
