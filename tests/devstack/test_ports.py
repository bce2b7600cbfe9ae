"""Ports: four different free ones, or those asked for."""

from __future__ import annotations

import socket

import pytest

from radserve_devstack.errors import StackError
from radserve_devstack.ports import Ports


def test_zeros_become_four_different_ports_one_can_listen_on() -> None:
    ports = Ports().settled("127.0.0.1")
    numbers = {ports.service, ports.triton_grpc, ports.triton_http, ports.triton_metrics}
    assert len(numbers) == 4
    for number in numbers:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", number))


def test_a_port_that_was_asked_for_stays() -> None:
    free = Ports().settled("127.0.0.1")
    assert free.settled("127.0.0.1") == free


def test_a_taken_port_is_named() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        taken = sock.getsockname()[1]
        with pytest.raises(StackError, match=f"port {taken} of 127.0.0.1 cannot be used: Address already in use"):
            Ports(service=taken).settled("127.0.0.1")
