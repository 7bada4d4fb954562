import pytest

pytest.register_assert_rewrite(
    "blocks_contract", "heads_contract", "extents_contract", "leases_contract", "store_contract"
)
