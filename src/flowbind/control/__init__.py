"""The operator's protocol: what may be asked, what is answered, how it travels."""
