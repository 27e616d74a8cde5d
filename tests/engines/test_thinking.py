from __future__ import annotations

import pytest

from minionbench.engines.thinking import template_reasoning
from minionbench.errors import DeploymentError
from minionbench.exchange import Reasoning

ON, OFF = Reasoning(on=True), Reasoning(on=False)

SWITCHED = """{%- for message in messages %}...{%- endfor %}{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"""
OTHER_NAME = "{% if not thinking is defined %}{% set thinking = false %}{% endif %}<think></think>"
ALWAYS = "{% if '</think>' in content %}...{% endif %}{{'<Assistant><think>\\n'}}"
PLAIN = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %}"


def test_a_template_that_asks_for_the_switch_is_told() -> None:
    found = template_reasoning(SWITCHED)
    assert found.switch == "enable_thinking"
    assert found.wish(ON, "m") == ON
    assert found.wish(OFF, "m") == OFF
    assert template_reasoning(OTHER_NAME).switch == "template_thinking"


def test_a_model_that_always_thinks_may_only_be_told_to() -> None:
    found = template_reasoning(ALWAYS)
    assert found.switch == "none"
    assert found.wish(ON, "m") is None
    with pytest.raises(DeploymentError, match="m cannot be told not to reason"):
        found.wish(OFF, "m")


@pytest.mark.parametrize("template", [PLAIN, None, "", "a text about thinking"])
def test_a_model_that_never_thinks_may_only_be_told_not_to(template: str | None) -> None:
    found = template_reasoning(template)
    assert found.switch == "none"
    assert found.wish(OFF, "m") is None
    with pytest.raises(DeploymentError, match="m cannot be told to reason"):
        found.wish(ON, "m")
