"""Turns declared costs into the thresholds of the risk bands."""

from collections.abc import Mapping
from dataclasses import dataclass

from staunch_training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Costs:
    """What it costs to keep a customer and what it is worth, all in CAD per customer.

    A light contact (an e-mail, a call) is for the medium band, an offer (a credit, a better plan) for the
    high one. `…_saves` is the share of would-be leavers who stay because of it.
    """

    customer_value_cad: float = 600.0
    contact_cost_cad: float = 3.0
    contact_saves: float = 0.10
    offer_cost_cad: float = 40.0
    offer_saves: float = 0.35

    def thresholds(self) -> tuple[float, float]:
        """The probabilities from which a contact pays, and from which an offer pays better than a contact.

        A contact pays where p · contact_saves · value >= contact_cost; an offer is better where
        p · (offer_saves - contact_saves) · value >= offer_cost - contact_cost.
        Raises TrainingError unless 0 < medium < high < 1.
        """
        medium = _break_even(self.contact_cost_cad, self.contact_saves * self.customer_value_cad)
        high = _break_even(
            self.offer_cost_cad - self.contact_cost_cad,
            (self.offer_saves - self.contact_saves) * self.customer_value_cad,
        )
        if not 0 < medium < high < 1:
            raise TrainingError(
                f"expected costs that give 0 < medium < high < 1, got {medium:.3g} and {high:.3g}: "
                "an offer must cost more than a contact and save more, both less "
                "than the customer is worth"
            )
        return medium, high


def _break_even(cost_cad: float, gain_cad: float) -> float:
    return cost_cad / gain_cad if gain_cad > 0 else float("inf")


COST_MEANINGS: Mapping[str, str] = {
    "customer_value_cad": "what a customer kept is worth, in CAD",
    "contact_cost_cad": "what a light contact costs, an e-mail or a call, in CAD",
    "contact_saves": "the share of would-be leavers whom a contact keeps",
    "offer_cost_cad": "what an offer costs, a credit or a better plan, in CAD",
    "offer_saves": "the share of would-be leavers whom an offer keeps",
}
"""What each field of `Costs` is, for who has to give it."""
