"""The lab: calls by known users and applications, and the proof that the warehouse shows them so.

``scenarios`` defines the calls, ``roles`` makes the roles that send them, ``expected`` estimates
their cost, ``traffic`` sends them and writes each into the ledger (``sent_calls``), ``verify``
compares the warehouse with the ledger. ``caller`` is the identity that runs all this.
"""
