"""What alerts ask of the members' own metrics is there in every version that can run."""

from __future__ import annotations

import re

import aiohttp
import pytest
import yaml
from tests.integration.operators.etcd.bare import Bare
from tests.unit.etcdclient.test_client import WHO
from tests.unit.repository.chart.conftest import CHART

from kok.etcdclient.client import EtcdClient

ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())


@pytest.mark.parametrize("version", ["3.5.21", "3.6.10", "3.7.3"])
async def test_members_tell_what_alerts_ask_for(version: str) -> None:
    rules = str([rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]])
    asked = set(re.findall(r"\betcd_[a-z_]+", rules))
    member = Bare(version)
    try:
        async with EtcdClient(WHO) as client, aiohttp.ClientSession() as session:
            await member.form(client, 1)
            async with session.get(f"{member.address(0)}/metrics") as answer:
                told = set(re.findall(r"(?m)^([a-z_]+)", await answer.text()))
    finally:
        member.close()

    assert asked
    assert asked <= told
