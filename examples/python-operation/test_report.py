"""The operation without a server: `pytest examples/python-operation`."""

import pytest
from report import Group, Input, generate

from jobhook import InvalidInput
from jobhook.testing import run_operation


def test_a_report_has_a_line_for_each_group():
    ran = run_operation(generate, Input("Sales", [Group("north", [1, 2.5])]))
    assert ran.value.total == 3.5
    assert ran.results == {"text": "Sales\nnorth: 3.50", "total": 3.5}
    assert ran.lines == ["north has 2 amounts"]
    assert ran.progress["percent"] == 100


def test_a_group_without_amounts_is_an_error():
    with pytest.raises(LookupError, match="south has no amounts"):
        run_operation("Report.Generate", {"title": "Sales", "groups": [{"name": "south", "amounts": []}]})


def test_a_report_needs_a_title():
    with pytest.raises(InvalidInput, match="/title: it is missing"):
        run_operation(generate, {})
