"""The demo's made-up account, and the settings that VWO's SDK gets for it.

The flag has a rollout and an A/B rule, so that one `get_flag` of the SDK
makes two events, as it often does with a real account.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ACCOUNT_ID = 700001
#: No secret: only the stand-in knows it.
SDK_KEY = "demo-0000-no-secret-0000-demo-00"
FLAG, EVENT, ATTRIBUTE = "one_page_checkout", "purchase", "plan"


def vwo_settings() -> Any:
    """The answer of VWO's settings server for the account."""
    return json.loads(Path(__file__).with_name("vwo_settings.json").read_text("utf-8"))
