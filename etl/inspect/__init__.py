"""One event in full, and statistics over many: for when figures are not what was expected.

- ``find`` finds raw events: in files, in an archive, in CloudTrail's event history.
- ``redact`` removes whatever could be a prompt or an answer.
- ``explain`` says how each field was understood. It uses the functions that load the event and a
  trial warehouse that has loaded it, so it always agrees with ``load``.
  ``costs`` does it for prices and estimates, ``unread`` for fields that nothing reads.
- ``statistics`` counts over many events; ``fixes`` says what to do about what it finds.
- ``show`` prints both.
"""
