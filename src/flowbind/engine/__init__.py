"""What the RFCs say to do: events in, effects out."""
