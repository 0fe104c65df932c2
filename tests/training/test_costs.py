import pytest

from staunch_training.costs import Costs
from staunch_training.errors import TrainingError


def test_a_contact_pays_from_where_its_saving_covers_its_cost() -> None:
    medium, high = Costs(500, 5, 0.1, 55, 0.3).thresholds()
    assert medium == pytest.approx(5 / (0.1 * 500))
    assert high == pytest.approx(50 / (0.2 * 500))


def test_the_shipped_costs_give_ordered_bands() -> None:
    medium, high = Costs().thresholds()
    assert 0 < medium < high < 1


@pytest.mark.parametrize(
    ("costs", "ok"),
    [
        (Costs(8, 1, 0.25, 3, 0.75), False),  # 1/2 and 1/2
        (Costs(8, 1, 0.25, 3.000001, 0.75), True),
        (Costs(8, 1, 0.25, 5, 0.75), False),  # 1/2 and 1
        (Costs(8, 1, 0.25, 4.999999, 0.75), True),
    ],
)
def test_bands_begin_strictly_one_after_the_other_below_certainty(costs: Costs, ok: bool) -> None:
    if ok:
        medium, high = costs.thresholds()
        assert 0 < medium < high < 1
        return
    with pytest.raises(TrainingError, match="medium < high"):
        costs.thresholds()


@pytest.mark.parametrize(
    "costs",
    [Costs(offer_saves=0.1), Costs(customer_value_cad=0), Costs(contact_cost_cad=0), Costs(offer_cost_cad=3)],
)
def test_costs_that_give_no_bands_are_refused(costs: Costs) -> None:
    with pytest.raises(TrainingError, match="medium < high"):
        costs.thresholds()
