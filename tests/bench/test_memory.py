from bench import memory


def test_every_path_is_there_after_registration_and_after_a_restart(tmp_path):
    section = memory.measure(2000, tmp_path)
    registered, restarted, restart = section.figures
    for each in (registered, restarted):
        assert each.threshold is not None
        assert 100 < each.median < memory.OCTETS_AT_MOST
    assert restart.median > 0
    assert list(tmp_path.iterdir()) == []
