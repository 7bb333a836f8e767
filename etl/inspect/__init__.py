"""One event in full, and what many events come to: for when figures are not what was expected.

- ``events`` finds raw events: in files, in an archive, in CloudTrail's event history.
- ``redact`` leaves out of them whatever could be a prompt or an answer.
- ``explain`` says how each field was understood, by the functions that load it and by a trial
  warehouse that has loaded it; so it cannot say anything but what ``load`` does.
- ``survey`` counts over many events, ``fixes`` says what to do about what it finds.
- ``show`` prints both.
"""
