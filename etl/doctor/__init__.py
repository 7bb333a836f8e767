"""Does reading AWS work here, and if not, what has to be done?

Each permission is tried once, with the cheapest request that needs it. Nothing is written, and the
content of the answers is not kept. Requests are retried only briefly, so an outage is reported
soon. If a service does not answer, or the credentials do not work in a region, the remaining checks
there are skipped.

``entry`` checks access to each account and bucket; ``checks`` tries what each region needs;
``advice`` says how to fix a failure.
"""
