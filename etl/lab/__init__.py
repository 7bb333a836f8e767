"""The lab: calls of known users and applications, and the proof that the warehouse tells them so.

``scenarios`` says what is sent, ``roles`` makes the roles it is sent by, ``traffic`` sends it and
writes each call into the ``ledger``, ``expected`` says what it will cost, ``verify`` holds the
warehouse against the ledger. ``caller`` is who runs all that.
"""
