from __future__ import annotations

from worker.core.secrets.variables import ADDRESS_VARIABLES, KEY_FILE_VARIABLE
from worker.settings.options import OPTION_BY_PATH, OPTIONS


def test_every_setting_that_may_hold_a_secret_is_kept_from_programs_that_are_started() -> None:
    secret = {option.env for option in OPTIONS if option.syntax.is_secret}
    assert secret == set(ADDRESS_VARIABLES)
    assert OPTION_BY_PATH["api.key_file"].env == KEY_FILE_VARIABLE
