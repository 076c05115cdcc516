"""Small traffic programs that run inside the lab's nodes: ``python -m flowbind.lab.traffic ...``.

Each prints lines of JSON on standard output: `Ready` once it can receive, then a `Report` per flow
every 200 ms. SIGTERM makes a program stop sending, hear out what is under way, and end.
"""
