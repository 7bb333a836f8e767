"""Tell people what happened: documents, addresses, and ways to send.

``document`` is what a message says, as text and as HTML; ``contents`` finds out what to say;
``addresses`` reads where to send it; ``send`` sends it; ``run`` sends what is due and records how
that went (``etl.warehouse.messages``).
"""
