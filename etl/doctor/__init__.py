"""Does reading AWS work here, and if not, what has to be done?

Each permission is tried once, with the cheapest request that needs it; nothing is written, and what
the answers hold is not kept. A request is not repeated for long: an outage is told. Where a service
does not answer, or the credentials do not work in a region, what is left there is not tried at all.

``entry`` looks for the way into each account and bucket, ``places`` at what each region takes;
``words`` says how to mend what fails.
"""
