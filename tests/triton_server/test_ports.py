"""Ports: taken ones are refused in words, free ones are chosen where 0 is asked for."""

from __future__ import annotations

import socket

import pytest

from radserve_triton.errors import PortInUse
from radserve_triton.ports import settle_ports


def test_zero_chooses_free_ports_all_different():
    ports = settle_ports("127.0.0.1", {"grpc": 0, "http": 0, "metrics": 0})

    assert len({*ports.values()}) == 3
    for port in ports.values():
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_taken_port_is_refused_with_its_option():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(PortInUse, match=rf"127\.0\.0\.1:{port} for http: Address already in use.*--http-port"):
            settle_ports("127.0.0.1", {"grpc": 0, "http": port})


def test_one_port_asked_for_twice_is_refused():
    port = settle_ports("127.0.0.1", {"grpc": 0})["grpc"]

    with pytest.raises(PortInUse, match="for http"):
        settle_ports("127.0.0.1", {"grpc": port, "http": port})


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(PortInUse, match=r"192\.0\.2\.1:8001 for grpc"):
        settle_ports("192.0.2.1", {"grpc": 8001})
