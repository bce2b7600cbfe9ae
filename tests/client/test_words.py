"""Words that the client knows by itself are the service's."""

from __future__ import annotations

from radserve_client.cli import Detect
from radserve_preproc.detect import Detect as ServiceDetect


def test_detect_offers_what_the_service_takes() -> None:
    assert [word.value for word in Detect] == [word.value for word in ServiceDetect]
