"""What stands in pictures around a view's own titles and units, in English and in French."""

from dataclasses import dataclass

from staunch_cli.printing.words import ENGLISH, FRENCH, Words, words_in


@dataclass(frozen=True, slots=True)
class PictureWords:
    """The words of pictures in one language.

    Attributes:
        plain: What the command says around scores, axes and missing values too, and how numbers are written.
        rows: Names the axis of the bars.
        label_true: Names the axis of the line.
        interval: What stands behind the name of the line in the legend.
        all_rows: Names the dotted line.
        missing_share: How many they are, by `share` and `rows`.
        log_scale: Says that each step is a multiple of the one before.
        value: Names the axis of a number without a unit.
        others: Names the bar of all values that have none of their own.
        first_from: Says of the first bar how far its rows reach.
        last_to: Says it of the last one.
        strength: Says how strong a feature is, by `strength`.
        head: What was looked at, by `rows`.
        as_of: The moment, by `date`.
        label_share: How many labels are true, by `share`.
        same_scale: What holds of all panels.
        sorted_by: How the panels are sorted.
        unsorted: How they are without a label.
        page: Which page of how many.
        average: Names the first line of an explanation.
        together: Names the last one.
        title: Heads an explanation, by `customer` and `share`.
        view_title: Heads the features of a view, by `view` and `description`.
        warning: Says below it of a value that the model did not learn from, by `line`.
    """

    plain: Words
    rows: str
    label_true: str
    interval: str
    all_rows: str
    missing_share: str
    log_scale: str
    value: str
    others: str
    first_from: str
    last_to: str
    strength: str
    head: str
    as_of: str
    label_share: str
    same_scale: str
    sorted_by: str
    unsorted: str
    page: str
    average: str
    together: str
    title: str
    view_title: str
    warning: str

    def percent(self, share: float, digits: int = 1) -> str:
        """Writes a share in percent."""
        return self.plain.percent.format(share=self.plain.written(f"{100 * share:.{digits}f}"))

    def short_percent(self, share: float) -> str:
        """Writes a share as axes have it: three digits at most, 2.5% stays that."""
        return self.plain.percent.format(share=self.plain.written(f"{100 * share:.3g}"))

    def count(self, rows: float) -> str:
        """Writes how many."""
        return self.plain.written(f"{rows:,.0f}")


_ENGLISH = PictureWords(
    plain=ENGLISH,
    rows="rows",
    label_true="label true",
    interval="with its 95% interval",
    all_rows="label true, all rows",
    missing_share="missing {share} ({rows})",
    log_scale="log scale",
    value="value",
    others="others",
    first_from="first bar: from {value}",
    last_to="last bar: to {value}",
    strength="strength {strength}",
    head="{rows} rows",
    as_of="as of {date}",
    label_share="label true for {share}",
    same_scale="Labels have the same scale in all panels; ▲ stands for a share beyond it.",
    sorted_by="Sorted by strength: of a row whose label is true and one whose label is false, how often this "
    "feature alone tells which is which (AUC; 0.50 is a coin). Its groups, missing one of them, are put in "
    "order by one half of the rows and judged by the other.",
    unsorted="In the order of the view: too few labels are known to tell which feature is strong.",
    page="page {page} of {pages}",
    average="Average of what the model learned from",
    together="Together",
    title="Customer {customer}: {share}",
    view_title="{view}: {description}",
    warning="warning: {line}",
)
_FRENCH = PictureWords(
    plain=FRENCH,
    rows="lignes",
    label_true="étiquette vraie",
    interval="avec son intervalle à 95\u00a0%",
    all_rows="étiquette vraie, toutes les lignes",
    missing_share="manquant {share} ({rows})",
    log_scale="échelle logarithmique",
    value="valeur",
    others="autres",
    first_from="1re barre dès {value}",
    last_to="dernière barre jusqu'à {value}",
    strength="force {strength}",
    head="{rows} lignes",
    as_of="en date du {date}",
    label_share="étiquette vraie pour {share}",
    same_scale="L'échelle des étiquettes est la même partout; ▲ indique une part qui la dépasse.",
    sorted_by="Par ordre de force\u00a0: d'une ligne dont l'étiquette est vraie et d'une autre dont elle est "
    "fausse, combien de fois cette variable seule permet de les distinguer (AUC; 0,50 équivaut à un tirage "
    "au sort). Ses groupes, dont celui des valeurs manquantes, sont ordonnés d'après une moitié des lignes "
    "et jugés sur l'autre.",
    unsorted="Dans l'ordre de la vue\u00a0: trop peu d'étiquettes sont connues pour juger de leur force.",
    page="page {page} de {pages}",
    average="Moyenne de ce que le modèle a appris",
    together="Ensemble",
    title="Client {customer}\u00a0: {share}",
    view_title="{view}\u00a0: {description}",
    warning="avertissement\u00a0: {line}",
)


def picture_words(language: str) -> PictureWords:
    """Returns the words for a language tag; English for every language that we do not speak."""
    return _FRENCH if words_in(language) is FRENCH else _ENGLISH
