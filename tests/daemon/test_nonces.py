from flowbind.daemon.nonces import nonce


def test_nonces_have_32_bits_and_hardly_repeat():
    found = [nonce() for _ in range(1000)]
    assert all(0 <= each < 1 << 32 for each in found)
    assert len(set(found)) > 990
    assert max(found) > 1 << 31
