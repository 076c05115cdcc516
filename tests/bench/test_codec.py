from bench import codec


def test_both_give_back_the_octets_that_they_were_given():
    golden = codec.golden_request()
    assert codec.by_flowbind(golden) == golden
    assert codec.by_scapy(codec.GoldenRequest)(golden) == golden


def test_scapy_is_asked_to_take_the_extensions_apart():
    request = codec.GoldenRequest(codec.golden_request())
    found = [type(each).__name__ for each in request.extensions]
    assert found == ["_Multipath", "_FlowBinding", "_Authentication"]
    assert (request.extensions[1].bids, request.extensions[2].spi) == ([1, 2], 256)


def test_a_measurement_has_its_reference():
    section = codec.measure(1, 0.2)
    assert section.reference == "scapy"
    assert all(each.ratio and each.ratio > 1 for each in section.figures)
