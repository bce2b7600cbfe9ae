"""How many processes and threads decode beside a Triton here, and beside one elsewhere."""

from __future__ import annotations

import pytest

from radserve_client.score.cores_share import Crew, crew_for, is_here

HERE, ELSEWHERE = "127.0.0.1:8001", "192.0.2.1:8001"  # RFC 5737: belongs to nobody


@pytest.mark.parametrize(
    ("address", "cores", "wanted", "crew"),
    [
        (ELSEWHERE, 1, None, Crew(1, 1)),
        (ELSEWHERE, 2, None, Crew(1, 2)),
        (ELSEWHERE, 16, None, Crew(8, 2)),
        (ELSEWHERE, 5, None, Crew(3, 1)),
        (HERE, 1, None, Crew(1, 1)),
        (HERE, 2, None, Crew(1, 2)),
        (HERE, 16, None, Crew(4, 2)),
        (ELSEWHERE, 16, 2, Crew(2, 8)),
        (ELSEWHERE, 2, 6, Crew(6, 1)),
    ],
)
def test_threads_fit_the_cores_and_leave_some_to_a_triton_here(
    address: str, cores: int, wanted: int | None, crew: Crew
) -> None:
    assert crew_for([address], wanted, cores=cores) == crew


def test_one_triton_here_among_several_is_enough_to_leave_cores() -> None:
    assert crew_for([ELSEWHERE, HERE], cores=16) == crew_for([HERE], cores=16)


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1:8001", True),
        ("localhost:8001", True),
        ("0.0.0.0:8001", True),
        ("192.0.2.1:8001", False),
    ],
)
def test_an_address_of_this_machine_is_told_from_others(address: str, here: bool) -> None:
    assert is_here(address) is here
