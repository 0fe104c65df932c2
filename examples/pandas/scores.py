"""Scores a data frame and draws the scores and their reasons: cells for an editor, or a program as it is."""

# %% [markdown]
# # Who may leave, and why
#
# The server's address is STAUNCH_SERVER, or that of a `make run` on this machine.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from staunch import Client

SERVER = os.environ.get("STAUNCH_SERVER", "127.0.0.1:50051")
OUT = Path(os.environ.get("OUT", "."))  # where the pictures go
plt.rcParams["figure.constrained_layout.use"] = True

# %% [markdown]
# ## A data frame of customers
#
# Any frame with a column of ids will do: `pd.read_csv`, `pd.read_sql`. These are the first 600 of the
# simulated world.

# %%
customers = pd.DataFrame({"customer_id": range(1, 601)})

# %% [markdown]
# ## One call for all
#
# A row for each customer, in their order. Who has no score has a reason in `error`: most such have left.

# %%
with Client(SERVER) as client:
    scores = client.batch_predict_frame(customers, top_contributions=3)

scored = scores[scores["error"].isna()]
print(f"{len(scored)} of {len(scores)} customers have a score, by {scored['model'].iloc[0]}")
print(scores["error"].value_counts().to_string())

# %% [markdown]
# ## The list to call first

# %%
first = scored.sort_values("probability", ascending=False).head(10)
print(first[["customer_id", "probability", "risk_band", "reason_1", "reason_2"]].to_string(index=False))

# %% [markdown]
# ## How the scores are spread
#
# The bands are where the model's thresholds lie. The scale is logarithmic, since most customers stay.

# %%
COLORS = {"low": "C0", "medium": "C1", "high": "#a50f15"}  # a high risk is no green, as it is in the palette
sns.set_theme(style="whitegrid", palette="colorblind")
figure, axes = plt.subplots(figsize=(7, 4))
sns.histplot(
    scored,
    x="probability",
    hue="risk_band",
    hue_order=list(COLORS),
    palette=COLORS,
    multiple="stack",
    log_scale=True,
    bins=40,
    ax=axes,
)
axes.set(title=f"{len(scored)} customers", xlabel="probability of leaving", ylabel="customers")
axes.xaxis.set_major_formatter(lambda share, _: f"{share:.2%}" if share < 0.01 else f"{share:.0%}")
axes.get_legend().set_title("risk")
figure.savefig(OUT / "scores.png", dpi=150)

# %% [markdown]
# ## What moves them
#
# Each customer's three largest reasons, and how far they move the score: to the right, it is more likely that
# the customer leaves. What contributions are counted in, GetModel says: `output_space`.

# %%
each = [
    scored[["customer_id", "risk_band"]].assign(
        reason=scored[f"reason_{place}"], contribution=scored[f"reason_{place}_contribution"]
    )
    for place in (1, 2, 3)
]
reasons = pd.concat(each, ignore_index=True).dropna()
often = reasons["reason"].value_counts().index[:10]

figure, axes = plt.subplots(figsize=(8, 5))
sns.stripplot(
    reasons,
    x="contribution",
    y="reason",
    order=often,
    hue="risk_band",
    hue_order=list(COLORS),
    palette=COLORS,
    size=3,
    alpha=0.6,
    ax=axes,
)
axes.axvline(0, color="0.3", linewidth=0.8)
axes.set(title="The ten most frequent reasons", xlabel="contribution to the score", ylabel="")
axes.get_legend().set_title("risk")
figure.savefig(OUT / "reasons.png", dpi=150)
