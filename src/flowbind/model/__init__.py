"""The nouns of the RFCs, frozen."""
