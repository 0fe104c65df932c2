"""docs/database.md: that every table stands there."""

from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "database.md"


async def test_the_page_names_every_table(owner):
    rows = await owner.fetch(
        "SELECT schemaname || '.' || tablename AS name FROM pg_tables"
        " WHERE schemaname IN ('staunch', 'simulation')"
    )
    page = _PAGE.read_text()
    assert not [row["name"] for row in rows if f"`{row['name']}`" not in page]
