"""A fake AWS for tests: a local server that speaks the real protocols to an unmodified boto3.

    with FakeAws() as aws:
        aws.place("111122223333", "us-east-1").deliver(record)
        subprocess.run([...], env=os.environ | aws.environment())

``fake`` routes a request, ``server`` has the sockets, ``requests`` and ``answers`` the protocols;
``cloudtrail``, ``cloudwatch``, ``logs``, ``bedrock``, ``runtime`` and ``identity`` know what AWS
answers, ``price_list`` the Price List, with its public files, ``invocations`` what AWS records of a
runtime call; ``moto_route`` has the rest. Real AWS was not available: where its documentation leaves
a choice, the module states the choice made.
"""

from tests.aws.calls import Request
from tests.aws.clock import NOW, FakeClock
from tests.aws.fake import ACCOUNT, REGION, FakeAws
from tests.aws.faults import Fault
from tests.aws.place import Place

__all__ = ["ACCOUNT", "NOW", "REGION", "FakeAws", "FakeClock", "Fault", "Place", "Request"]
