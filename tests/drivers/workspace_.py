"""A workspace as drivers use one: psycopg's temporary tables and COPY, SQLAlchemy's create_all and drop_all, rows of a frame."""

import os
import sys
from urllib.parse import quote

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

with psycopg.connect(prepare_threshold=0) as connection:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE ledger (id int, word text)")
        with cursor.copy("COPY ledger FROM STDIN") as copy:
            for row in [(1, "one"), (2, "two")]:
                copy.write_row(row)
        cursor.executemany("INSERT INTO ledger VALUES (%s, %s)", [(3, "three"), (4, "four")])
        assert cursor.execute("SELECT count(*) FROM ledger WHERE id > %s", (1,)).fetchone() == (3,)
        assert cursor.execute("SELECT count(*) FROM ledger WHERE id > %s", (1,), binary=True).fetchone() == (3,)
        with cursor.copy("COPY ledger TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "text"])
            assert [row for row in copy.rows()] == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]
        named = connection.cursor("named")
        named.execute("SELECT id FROM ledger ORDER BY id")
        assert named.fetchmany(2) == [(1,), (2,)]
        named.close()
        try:
            with connection.transaction():
                cursor.execute("CREATE TEMP TABLE undone (a int)")
                cursor.execute("INSERT INTO undone VALUES (1)")
                raise psycopg.Rollback()
        except psycopg.Rollback:
            pass
        try:
            with connection.transaction():
                cursor.execute("SELECT * FROM undone")
            raise AssertionError("rolled back, and there")
        except psycopg.errors.UndefinedTable:
            pass
        # What the masks left is what is copied.
        cursor.execute("CREATE TABLE copied AS SELECT lastname, order_total FROM customer_orders")
        assert cursor.execute("SELECT DISTINCT lastname FROM copied").fetchall() == [("REDACTED",)]
        cursor.execute("DROP TABLE copied")

url = "postgresql+{}://{}".format(
    sys.argv[1],
    "" if sys.argv[1] == "psycopg" else "{}:{}@{}:{}/{}".format(
        *(quote(os.environ[name], safe="") for name in ("PGUSER", "PGPASSWORD", "PGHOST", "PGPORT", "PGDATABASE"))
    ),
)
engine = sa.create_engine(url)


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True, index=True)
    mood: Mapped[str] = mapped_column(postgresql.ENUM("calm", "angry", name="author_mood"))
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    title: Mapped[str] = mapped_column(comment="As printed")
    pages: Mapped[int | None] = mapped_column(sa.CheckConstraint("pages > 0"))
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("author.id", ondelete="CASCADE"))
    author: Mapped[Author] = relationship(back_populates="books")
    __table_args__ = (sa.Index("book_by_title", sa.func.lower(sa.column("title"))), {"comment": "Books"})


Base.metadata.create_all(engine)
Base.metadata.create_all(engine)
inspector = sa.inspect(engine)
home = inspector.default_schema_name
assert home.startswith("workspace_0_"), home
assert {"author", "book"} <= set(inspector.get_table_names()), inspector.get_table_names()
assert {"author", "book"} <= set(inspector.get_table_names(schema=home))
assert "customer_orders" not in inspector.get_table_names(schema=home)
assert inspector.has_table("book") and inspector.has_table("customer_orders") and not inspector.has_table("payroll")
columns = {column["name"]: column for column in inspector.get_columns("book")}
assert columns["title"]["comment"] == "As printed" and "identity" in columns["id"], columns
assert str(inspector.get_columns("author")[2]["type"]) == "VARCHAR(5)", inspector.get_columns("author")
assert [index["name"] for index in inspector.get_indexes("author")] == ["ix_author_name"]
keys = inspector.get_foreign_keys("book")
assert [(key["referred_table"], key["referred_columns"]) for key in keys] == [("author", ["id"])], keys
assert inspector.get_pk_constraint("book")["constrained_columns"] == ["id"]
assert [check["sqltext"] for check in inspector.get_check_constraints("book")] == ["pages > 0"]
assert inspector.get_table_comment("book") == {"text": "Books"}

with Session(engine) as session:
    session.add(Author(name="Ada", mood="calm", books=[Book(title="Notes", pages=3), Book(title="Letters")]))
    session.commit()
    ada = session.scalars(sa.select(Author).where(Author.mood == "calm")).one()
    assert sorted(book.title for book in ada.books) == ["Letters", "Notes"]
    session.commit()
    # A second connection of the pool, while the first is open.
    with engine.begin() as other:
        other.execute(sa.text("ALTER TABLE book ADD COLUMN isbn text"))
    session.delete(ada)
    try:
        session.commit()
        session.add(Author(name="Bob", mood="sad"))
        session.commit()
        raise AssertionError("not a mood")
    except sa.exc.DBAPIError:
        session.rollback()

# As a data frame is written: replaced, then appended in one many-rows INSERT.
frame = sa.Table("frame", sa.MetaData(), sa.Column("i", sa.BigInteger, index=True), sa.Column("x", sa.Float), sa.Column("s", sa.Text))
for _ in range(2):
    with engine.begin() as connection:
        if sa.inspect(connection).has_table("frame"):
            frame.drop(connection)
        frame.create(connection)
        connection.execute(frame.insert(), [{"i": i, "x": i / 2, "s": str(i)} for i in range(100)])
with engine.connect() as connection:
    assert connection.execute(sa.select(sa.func.sum(frame.c.i))).scalar() == 4950
frame.drop(engine)
reflected = sa.MetaData()
reflected.reflect(engine, only=["author", "book"])
assert set(reflected.tables) >= {"author", "book"}, set(reflected.tables)
Base.metadata.drop_all(engine)
assert not {"author", "book"} & set(sa.inspect(engine).get_table_names())
try:
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE customer_orders"))
    raise AssertionError("dropped what is governed")
except sa.exc.ProgrammingError as error:
    assert error.orig.sqlstate == "42501" if hasattr(error.orig, "sqlstate") else True
print("done")
